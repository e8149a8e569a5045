"""PyTorch: a plain state dict, and the module file that loads it, a copy of torch_model.py."""

import importlib.util
import pathlib
import shutil

import numpy as np
import torch
from flax.traverse_util import flatten_dict

from jaxstage.errors import UserError
from jaxstage.export import torch_model
from jaxstage.export.network import Network

FILE, MODULE = "weights.pt", "model.py"
NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}  # from (height, width, in, out) and (in, out) to PyTorch's order


def write(network: Network, folder: pathlib.Path) -> None:
    torch.save(convert(network).state_dict(), folder / FILE)
    shutil.copyfile(torch_model.__file__, folder / MODULE)


def run(network: Network, folder: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Logits by the files alone."""
    spec = importlib.util.spec_from_file_location("model", folder / MODULE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        return module.load(folder)(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()


def convert(network: Network) -> torch.nn.Module:
    """The network as a PyTorch module in evaluation mode; both have the same names of parts.

    Raises:
      UserError: PyTorch code for its family is not there.
    """
    family = network.metadata["family"]
    if family not in torch_model.FAMILIES:
        known = ", ".join(torch_model.FAMILIES)
        raise UserError(f"family {family!r} has no PyTorch code (only {known} have): use stablehlo or safetensors")
    module = torch_model.build(network.metadata).eval()
    state = {"mean": module.mean, "std": module.std}
    for (_, *parts, last), leaf in flatten_dict(network.variables).items():
        state[".".join([*parts, NAMES[last]])] = torch.tensor(leaf.transpose(AXES[leaf.ndim]))
    missing, unexpected = module.load_state_dict(state, strict=False)
    if wrong := unexpected + [name for name in missing if not name.endswith("num_batches_tracked")]:
        raise RuntimeError(f"torch_model.py and the Flax module differ in {', '.join(wrong)}")
    return module
