"""Runs the network in PyTorch. Input: pixels 0..255, uint8 or float (n, channels, height, width), as they are."""

import json
import pathlib

import numpy as np
import torch
from model import load

folder = pathlib.Path(__file__).parent
architecture = json.loads((folder / "architecture.json").read_text())
network = load(folder)

images = np.random.default_rng(0).integers(0, 256, (5, *architecture["input_shape"]), np.uint8)  # yours here
with torch.no_grad():
    logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
print([architecture["class_names"][index] for index in logits.argmax(-1)])
