"""Runs the network in onnxruntime. Input: pixels, uint8 (n, channels, height, width), any n; it normalises itself."""

import json
import pathlib

import numpy as np
import onnxruntime

folder = pathlib.Path(__file__).parent
architecture = json.loads((folder / "architecture.json").read_text())
network = onnxruntime.InferenceSession(folder / "network.onnx")

images = np.random.default_rng(0).integers(0, 256, (5, *architecture["input_shape"]), np.uint8)  # yours here
(logits,) = network.run(["logits"], {"images": images.transpose(0, 3, 1, 2)})
print([architecture["class_names"][index] for index in logits.argmax(-1)])
