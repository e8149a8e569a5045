"""Runs the network with JAX alone. Input: pixels, uint8 (n, height, width, channels), any n; it normalises itself."""

import json
import pathlib

import numpy as np
from jax import export

folder = pathlib.Path(__file__).parent
architecture = json.loads((folder / "architecture.json").read_text())
network = export.deserialize(bytearray((folder / "network.jax_export").read_bytes()))

images = np.random.default_rng(0).integers(0, 256, (5, *architecture["input_shape"]), np.uint8)  # yours here
logits = network.call(images)
print([architecture["class_names"][index] for index in logits.argmax(-1)])
