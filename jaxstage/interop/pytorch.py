"""Turns published weights of PyTorch networks, torchvision's and timm's state dicts, into a work directory.

    jaxstage import resnet50.safetensors --model resnet50 --out WORKDIR

Nothing that a file says is executed: .safetensors holds numbers alone, and of .pth, which is pickled, PyTorch reads the
tensors only (weights_only).
"""

import os
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.config import default, plain
from jaxstage.data import Normalization
from jaxstage.errors import UserError, first_line, some
from jaxstage.files import in_one_line, local, read_text, require_stored
from jaxstage.interop.published import PUBLISHED
from jaxstage.interop.pytorch_names import name_of, spellings
from jaxstage.models import HEAD, build, shapes_of
from jaxstage.workdir import architecture, networks
from jaxstage.workdir.claim import occupy

TORCH_FILES = (".pth", ".pt", ".bin")
IGNORED = ".num_batches_tracked"  # of BatchNorms, which nothing is computed with
AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}  # from PyTorch's (out, in, height, width) and (out, in) to ours


class Stored(NamedTuple):
    """An array in a file: its shape, and what reads it as float32."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def import_network(
    file: str | os.PathLike,
    model: str,
    out: str | os.PathLike,
    classes: str | os.PathLike | None = None,
    image_size: int | None = None,
    data: str = "imagenet2012",
) -> dict:
    """Makes a work directory of published weights, which everything that takes a finished run then takes.

    Example:
      import_network("resnet50.safetensors", "resnet50", "runs/resnet50")
      jaxstage.predict("runs/resnet50", ["daisy.jpg"])

    Args:
      file: .safetensors, or .pth, .pt or .bin, which take PyTorch.
      model: one of `jaxstage.interop.published.PUBLISHED`.
      out: work directory to make.
      classes: text file with the name of a class in each line; None for "class 0" and so on.
      image_size: pixels a side; None for those that the network was trained with.
      data: name of the data set that it was trained on.

    Returns:
      {family, depths, parameters, macs, ..., workdir}.

    Raises:
      UserError: a file cannot be read, does not hold this network and nothing else, or names other classes; a package is
        missing; there is a network in `out` already.
    """
    if model not in PUBLISHED:
        raise UserError(f"unknown model {model!r}: choose one of {', '.join(PUBLISHED)}")
    workdir, path, published = local(out, "--out"), local(file, "FILE"), PUBLISHED[model]
    if (workdir / networks.FOLDER).exists():
        raise UserError(f"{workdir} holds a network already: choose another --out")
    options = plain(default().model) | {
        key: list(value) if isinstance(value, tuple) else value for key, value in published.model.items()
    }
    shape = (size := image_size or published.image_size, size, 3)
    variables = _fill(read_weights(path), options, shape, f"{path} is no {model}")
    names = _class_names(classes, variables["params"][HEAD]["bias"].shape[0])
    normalization = Normalization(np.float32(published.mean), np.float32(published.std))
    described = networks.describe(options, variables, data, names, shape, normalization)
    with occupy(workdir):
        networks.write(workdir, described | {"imported_from": path.name, "imported_model": model}, variables)
    told = ("family", "depths", "num_classes", "input_shape", "parameters", "trainable_parameters", "macs")
    return {key: described[key] for key in told} | {"workdir": str(workdir)}


def read_weights(path: pathlib.Path) -> dict[str, Stored]:
    """The arrays of a file by their names; they are read when they are asked for.

    Raises:
      UserError: there is no such file, it is damaged or of another kind, or what reads it is not installed.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: check the name")
    size = path.stat().st_size
    require_stored(path, _unpacked(path) if zipfile.is_zipfile(path) else size, size)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in TORCH_FILES:
        return _state_dict(path)
    raise UserError(f"{path}: give a file .safetensors or {', '.join(TORCH_FILES)}, of a state dict")


def _unpacked(path: pathlib.Path) -> int:
    """Bytes that an archive says it has."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except Exception as error:  # whatever zipfile makes of damaged ones
        raise UserError(f"{path} is damaged ({first_line(error)}): get the file again") from error


def _safetensors(path: pathlib.Path) -> dict[str, Stored]:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise UserError(f"reading {path} needs safetensors: pip install 'jaxstage[safetensors]'") from error

    def read(name: str) -> Callable[[], np.ndarray]:
        return lambda: np.asarray(file.get_tensor(name), np.float32)

    try:
        file = safe_open(path, framework="numpy")
        return {name: Stored(tuple(file.get_slice(name).get_shape()), read(name)) for name in file.keys()}
    except Exception as error:  # the library's own, which has no public name
        raise UserError(f"{path} is no safetensors file, or damaged ({first_line(error)}): get it again") from error


def _state_dict(path: pathlib.Path) -> dict[str, Stored]:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs PyTorch: pip install 'jaxstage[torch]', or give a .safetensors file"
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises anything
        raise UserError(
            f"{path} is no file of tensors that PyTorch reads without executing it ({first_line(error)}): save the "
            "state dict alone, torch.save(network.state_dict(), FILE)"
        ) from error
    named = isinstance(found, dict) and all(isinstance(name, str) for name in found)
    if not named or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UserError(f"{path} is no state dict: save one with torch.save(network.state_dict(), FILE)")
    require_stored(
        path, sum(tensor.nbytes for tensor in found.values()), path.stat().st_size
    )  # a view may repeat itself

    def read(tensor: Any) -> Callable[[], np.ndarray]:
        return lambda: tensor.detach().to(torch.float32).numpy()

    return {name: Stored(tuple(tensor.shape), read(tensor)) for name, tensor in found.items()}


def _fill(stored: dict[str, Stored], options: dict, shape: tuple, not_it: str) -> Any:
    """A network's variables with the arrays of a file in them, each used once.

    Args:
      stored: of the file.
      options: the `model` part of a config.
      shape: of an image.
      not_it: what to say first if this is not the network.
    """
    stems = {f"{one.outside['stem_conv']}.weight": one for one in spellings(options)}
    spelling = next((stems[name] for name in stems if name in stored), None)
    if spelling is None:
        raise UserError(
            f"{not_it}: it has {_some(stored)}, but no {' or '.join(stems)}; choose another --model or file"
        )
    bias = stored.get(f"{spelling.outside[HEAD]}.bias")
    classes = bias.shape[0] if bias and len(bias.shape) == 1 else 0
    if problem := architecture.problem_with_data(shape, classes):
        raise UserError(f"{not_it}, or not whole ({problem}): choose another --model or file")
    used = set()

    def take(path, leaf):
        name = name_of(tuple(part.key for part in path), spelling, options)
        axes = AXES[len(leaf.shape)]
        wanted = tuple(leaf.shape[axes.index(axis)] for axis in range(len(axes)))
        used.add(name)
        if name not in stored:
            raise UserError(f"{not_it}: it has no {name}; choose another --model or file")
        if stored[name].shape != wanted:
            raise UserError(f"{not_it}: {name} has shape {stored[name].shape}, not {wanted}; choose another --model")
        return jnp.asarray(_numbers(stored[name], name, not_it).transpose(axes))

    shapes = shapes_of(build(options, tuple(options["depths"]), classes), shape)
    variables = jax.tree_util.tree_map_with_path(take, shapes)
    if rest := [name for name in stored if name not in used and not name.endswith(IGNORED)]:
        raise UserError(f"{not_it}: it also has {_some(rest)}; choose another --model")
    return variables


def _some(names) -> str:
    return some((name[:60] for name in names), most=2) or "nothing"


def _numbers(array: Stored, name: str, not_it: str) -> np.ndarray:
    try:
        numbers = array.read()
    except Exception as error:  # sparse, quantized, or bfloat16 without PyTorch
        raise UserError(f"{not_it}: {name} cannot be read ({first_line(error)}); save it as float32") from error
    if not np.isfinite(numbers).all():
        raise UserError(f"{not_it}: {name} has numbers that are not finite; get the file again")
    return numbers


def _class_names(classes: str | os.PathLike | None, number: int) -> tuple[str, ...]:
    """A name for each class, of a file's lines or by number."""
    if classes is None:
        return tuple(f"class {place}" for place in range(number))
    path = local(classes, "--classes")
    names = [line.strip() for line in read_text(path).rstrip().split("\n")]
    if len(names) != number:
        raise UserError(f"--classes={path} has {len(names)} lines, the network {number} classes: give a line for each")
    for place, name in enumerate(names):
        if not name or not in_one_line(name):
            raise UserError(f"--classes={path}, line {place + 1}: has no name that can be printed; write one")
        if (first := names.index(name)) != place:
            raise UserError(f"--classes={path}: lines {first + 1} and {place + 1} are both {name!r}; tell them apart")
    return tuple(names)
