"""StableHLO with a symbolic batch size, weights and normalisation inside, as jax.export serialises it."""

import pathlib

import jax
import numpy as np
from jax import export

from jaxstage.export.network import Network

FILE = "network.jax_export"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(network: Network, folder: pathlib.Path) -> None:
    images = jax.ShapeDtypeStruct((*export.symbolic_shape("batch"), *network.image_shape), np.uint8)
    exported = export.export(jax.jit(network.logits), platforms=PLATFORMS)(images)
    (folder / FILE).write_bytes(exported.serialize())


def run(network: Network, folder: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Logits by the file alone."""
    return export.deserialize(bytearray((folder / FILE).read_bytes())).call(images)
