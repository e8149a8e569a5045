"""Runs the network in onnxruntime. Input: pixels, uint8 (n, channels, height, width), any n; it normalises itself."""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
from pictures import read

if len(sys.argv) == 1:
    sys.exit("give pictures: python example.py daisy.jpg rose.png")
folder = pathlib.Path(__file__).parent
architecture = json.loads((folder / "architecture.json").read_text())
network = onnxruntime.InferenceSession(folder / "network.onnx")

images = np.stack([read(picture, architecture) for picture in sys.argv[1:]])
(logits,) = network.run(["logits"], {"images": images.transpose(0, 3, 1, 2)})
print([architecture["class_names"][index] for index in logits.argmax(-1)])
