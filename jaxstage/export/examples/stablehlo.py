"""Runs the network with JAX alone. Input: pixels, uint8 (n, height, width, channels), any n; it normalises itself."""

import json
import pathlib
import sys

import numpy as np
from jax import export
from pictures import read

if len(sys.argv) == 1:
    sys.exit("give pictures: python example.py daisy.jpg rose.png")
folder = pathlib.Path(__file__).parent
architecture = json.loads((folder / "architecture.json").read_text())
network = export.deserialize(bytearray((folder / "network.jax_export").read_bytes()))

images = np.stack([read(picture, architecture) for picture in sys.argv[1:]])
logits = network.call(images)
print([architecture["class_names"][index] for index in logits.argmax(-1)])
