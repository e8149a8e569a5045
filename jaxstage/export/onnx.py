"""ONNX by PyTorch's exporter, from the module of the torch format, with a symbolic batch size.

Not by jax2onnx: 0.17.1 cannot convert the pooling of these networks, nor put their convolutions' shapes right.
"""

import contextlib
import io
import pathlib

import numpy as np
import onnxruntime
import torch

from jaxstage.export.network import Network
from jaxstage.export.torch import convert

FILE = "network.onnx"


def write(network: Network, folder: pathlib.Path) -> None:
    height, width, channels = network.image_shape
    example = torch.zeros((2, channels, height, width), dtype=torch.uint8)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its steps
        torch.onnx.export(
            convert(network),
            (example,),
            folder / FILE,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
        )


def run(network: Network, folder: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Logits by onnxruntime."""
    session = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images.transpose(0, 3, 1, 2).copy()})[0]
