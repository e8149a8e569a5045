"""Puts the weights into the Flax module. Input: float32 (n, height, width, channels), normalised as below.

names.json says for each tensor its path in the Flax variables, its stage and block, and its axes.
"""

import json
import pathlib
import sys

import numpy as np
from flax.traverse_util import unflatten_dict
from pictures import read
from safetensors.numpy import load_file

from jaxstage.models import build

if len(sys.argv) == 1:
    sys.exit("give pictures: python example.py daisy.jpg rose.png")
folder = pathlib.Path(__file__).parent
architecture, names = (json.loads((folder / name).read_text()) for name in ("architecture.json", "names.json"))
tensors = load_file(folder / "network.safetensors")
variables = unflatten_dict({tuple(names[name]["flax"]): tensor for name, tensor in tensors.items()})
module = build(architecture["model"], architecture["depths"], architecture["num_classes"])

images = np.stack([read(picture, architecture) for picture in sys.argv[1:]])
mean, std = (np.array(architecture["normalization"][name], np.float32) for name in ("mean", "std"))
logits = module.apply(variables, (images / np.float32(255) - mean) / std)
print([architecture["class_names"][index] for index in logits.argmax(-1)])
