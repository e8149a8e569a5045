"""The weights as safetensors under dotted names, and names.json, which says what each of them is."""

import json
import pathlib

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file, save

from jaxstage.export.network import Network
from jaxstage.files import write_json
from jaxstage.models import parse_block

FILE, NAMES = "network.safetensors", "names.json"
AXES = {4: "height, width, in, out", 2: "in, out", 1: "out"}


def write(network: Network, folder: pathlib.Path) -> None:
    leaves = flatten_dict(network.variables, sep=".")
    # Not by its save_file, which makes a file that nobody else may read.
    (folder / FILE).write_bytes(save({name: np.ascontiguousarray(leaf) for name, leaf in leaves.items()}))
    write_json(folder / NAMES, {name: _meaning(name, leaf) for name, leaf in leaves.items()})


def _meaning(name: str, leaf: np.ndarray) -> dict:
    """A tensor's place in the Flax variables and in the network; stage and block from 1, None outside the stages."""
    path = name.split(".")
    stage, block = (number + 1 for number in parsed) if (parsed := parse_block(path[1])) else (None, None)
    return {"flax": path, "stage": stage, "block": block, "shape": list(leaf.shape), "axes": AXES[leaf.ndim]}


def run(network: Network, folder: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Logits of the module with the weights as they are read back."""
    names = json.loads((folder / NAMES).read_text())
    variables = {tuple(names[name]["flax"]): tensor for name, tensor in load_file(folder / FILE).items()}
    return jax.jit(network._replace(variables=unflatten_dict(variables)).logits)(images)
