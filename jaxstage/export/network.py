"""What every format exports, what it is held against, and how an export appears whole or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from jaxstage.data import pictures
from jaxstage.errors import UserError
from jaxstage.files import explaining_a_full_disk, local
from jaxstage.models import build
from jaxstage.workdir import networks

TOLERANCE = 1e-4
BATCHES = (3, 1)  # images of the check: two sizes, because an export has to take any


class Network(NamedTuple):
    """A finished run's network, to be exported.

    Attributes:
      workdir: where it comes from.
      module: in float32; its parameters are float32 anyway.
      variables: params and batch_stats, NumPy arrays.
      metadata: architecture.json, with mean and std as arrays.
    """

    workdir: pathlib.Path
    module: nn.Module
    variables: Any
    metadata: dict

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.metadata["input_shape"])

    def normalise(self, images):
        """Pixels 0..255 (n, height, width, channels) as the module takes them, float32."""
        return (images / np.float32(255) - np.asarray(self.metadata["mean"])) / np.asarray(self.metadata["std"])

    def logits(self, images):
        """Of pixels 0..255; float32 (n, classes)."""
        return self.module.apply(self.variables, self.normalise(images), train=False)

    def describe(self, folder: pathlib.Path, example: pathlib.Path) -> None:
        """Puts architecture.json, example.py, and what reads pictures for the network into an export."""
        shutil.copyfile(self.workdir / networks.FOLDER / networks.ARCHITECTURE, folder / networks.ARCHITECTURE)
        shutil.copyfile(example, folder / "example.py")
        shutil.copyfile(pictures.__file__, folder / "pictures.py")


def open_network(workdir: str | os.PathLike, trust: bool = False) -> Network:
    """The network of a finished run; arguments and errors as of `networks.load`."""
    _, variables, metadata = networks.load(workdir, trust)
    module = build({**metadata["model"], "dtype": "float32"}, metadata["depths"], metadata["num_classes"])
    return Network(local(workdir, "WORKDIR"), module, jax.device_get(variables), metadata)


def verify(network: Network, run: Callable[[np.ndarray], np.ndarray], format: str) -> float:
    """Compares an export's logits with Flax's on the CPU, for random images.

    Args:
      network: what was exported.
      run: the export in its own runtime: images uint8 (n, height, width, channels) -> logits (n, classes).
      format: for the error.

    Returns:
      The largest absolute difference of a logit; where logits are larger than 1, relative to the largest.

    Raises:
      UserError: it is above TOLERANCE.
    """
    random, differences = np.random.default_rng(0), []
    for number in BATCHES:
        images = random.integers(0, 256, (number, *network.image_shape), np.uint8)
        with jax.default_device(jax.devices("cpu")[0]):  # accelerators round convolutions more coarsely
            wanted, got = np.asarray(jax.jit(network.logits)(images)), np.asarray(run(images))
        differences.append(np.abs(got - wanted).max() / max(1, np.abs(wanted).max()))
    largest = float(np.max(differences))
    if not largest <= TOLERANCE:
        raise UserError(f"the {format} export differs from the Flax network by {largest:.2g} in a logit: not written")
    return largest


@contextlib.contextmanager
def whole(target: pathlib.Path):
    """Yields a folder that becomes `target` at the end, or is gone after an error.

    Raises:
      UserError: it cannot be written.
    """
    temporary = target.with_name(f"{target.name}.tmp")
    try:
        with explaining_a_full_disk(f"writing {target}"):
            shutil.rmtree(temporary, ignore_errors=True)  # of an export that was killed
            temporary.mkdir(parents=True)
            yield temporary
            os.replace(temporary, target)
    except OSError as error:
        raise UserError(f"cannot write to {target} ({error.strerror}): choose another --out") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
