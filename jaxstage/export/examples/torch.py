"""Runs the network in PyTorch. Input: pixels 0..255, uint8 or float (n, channels, height, width), as they are."""

import json
import pathlib
import sys

import numpy as np
import torch
from model import load
from pictures import read

if len(sys.argv) == 1:
    sys.exit("give pictures: python example.py daisy.jpg rose.png")
folder = pathlib.Path(__file__).parent
architecture = json.loads((folder / "architecture.json").read_text())
network = load(folder)

images = np.stack([read(picture, architecture) for picture in sys.argv[1:]])
with torch.no_grad():
    logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
print([architecture["class_names"][index] for index in logits.argmax(-1)])
