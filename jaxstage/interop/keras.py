"""Turns Keras 2 files of "Stage-Wise Neural Architecture Search" (ICPR 2020) into a work directory.

    python -m jaxstage.interop.keras FILE.h5 [--architecture FILE.json] --out WORKDIR
    python -m jaxstage.main --config=configs/evaluate.py --config.source=WORKDIR

The published networks lie in https://github.com/arturjordao/StageWiseArchitectureSearch: residual modules and NASNet
cells. Their input is pixel / 255 minus the mean image of the training split, which is read from --data (--data-dir).
"""

import argparse
import gzip
import io
import json
import math
import pathlib
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.cli.ends import clear_ends
from jaxstage.config import default, plain, typed
from jaxstage.data.dataset import measure
from jaxstage.data.sources import TRAIN, open_source
from jaxstage.errors import UserError, first_line
from jaxstage.files import LARGEST, local, parse_json, read_bytes, require_stored
from jaxstage.interop.keras_names import canonical, keras_weight, recognise
from jaxstage.models import block_name, build, shapes_of
from jaxstage.models.resnet import PAPER
from jaxstage.workdir import architecture as architecture_of
from jaxstage.workdir import networks
from jaxstage.workdir.claim import occupy

IMAGE_SIZE = 32  # where no architecture file says otherwise

# What is used of a layer's config: of any, and of those of a kind.
_KERAS = {"filters": int | None, "units": int | None}
_KERAS_OF = {
    "BatchNormalization": {"epsilon": float, "momentum": float},
    "InputLayer": {"batch_input_shape": tuple[int | None, ...]},
}
Weights = dict[str, dict[str, np.ndarray]]  # canonical layer name -> weight name -> array, layers without weights too


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UserError(f"{message}; try --help")


def main(argv: list[str] | None = None) -> None:
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", metavar="FILE.h5", help="weights, by save_weights or save")
    parser.add_argument("--architecture", metavar="FILE.json", help="the model's to_json, gzipped or not")
    parser.add_argument("--out", metavar="WORKDIR", required=True, help="work directory to make")
    parser.add_argument("--data", default="cifar10", help="data set that it was trained on (cifar10)")
    parser.add_argument("--data-dir", help="where TFDS sets lie, if not in ~/tensorflow_datasets")
    with clear_ends():
        args = parser.parse_args(argv)
        print(json.dumps(import_network(args.weights, args.architecture, args.out, args.data, args.data_dir)))


def import_network(weights: str, architecture: str | None, out: str, data: str, data_dir: str | None) -> dict:
    """Makes a work directory of Keras files; arguments as on the command line.

    Returns:
      {depths, parameters, macs, ..., workdir}.

    Raises:
      UserError: a file is not one of these, does not hold all of them or does not belong to the other; the data set is
        not there; WORKDIR holds a network already.
    """
    workdir = local(out, "--out")
    if (workdir / networks.FOLDER).exists():
        raise UserError(f"{workdir} holds a network already: choose another --out")
    layers = read_weights(local(weights, "FILE.h5"))
    described = read_architecture(local(architecture, "--architecture")) if architecture else None
    if described:
        _compare(layers, described, weights, architecture)
    model, variables, image_shape = convert(layers, weights, described)
    source = open_source(data, data_dir)
    classes = variables["params"]["head"]["bias"].shape[0]
    if (classes, image_shape) != (len(source.class_names), source.image_shape):
        raise UserError(
            f"{weights} has {classes} classes and images {image_shape}, data set {data!r} {len(source.class_names)} "
            f"and {source.image_shape}: name the data set that it was trained on with --data"
        )
    mean_image = measure(source.read(TRAIN)[0], "pixel")
    metadata = networks.describe(model, variables, data, source.class_names, image_shape, mean_image)
    with occupy(workdir):
        networks.write(workdir, metadata | {"imported_from": pathlib.Path(weights).name}, variables)
    told = ("family", "depths", "parameters", "trainable_parameters", "macs", "separable_macs")
    return {key: metadata[key] for key in told} | {"workdir": str(workdir)}


def read_weights(path: pathlib.Path) -> Weights:
    """All layers of an HDF5 file that Keras wrote.

    Raises:
      UserError: it is not such a file, h5py is not there, or a layer or a weight that it lists is missing.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError("reading Keras files needs h5py: pip install jaxstage[keras]") from error
    _require(path)
    layers, name = {}, "?"
    try:
        with h5py.File(path, "r") as file:
            root = _inside(file, "model_weights") if "model_weights" in file else file  # by save, by save_weights
            arrays = {}
            for name in map(_text, root.attrs["layer_names"]):
                group = _inside(root, name)
                names = [_text(weight) for weight in group.attrs["weight_names"]]
                arrays[canonical(name)] = {n.rsplit("/", 1)[-1].partition(":")[0]: _inside(group, n) for n in names}
            size = sum(array.nbytes for weights in arrays.values() for array in weights.values())
            require_stored(path, size, path.stat().st_size)
            for name, weights in arrays.items():
                layers[name] = {weight: _numbers(array) for weight, array in weights.items()}
    except KeyError as error:
        if "layer_names" in str(error):
            raise UserError(f"{path} holds no Keras weights: give an .h5 file that Keras wrote") from error
        raise UserError(f"{path} is incomplete, layer {name!r} is missing or damaged: get the file again") from error
    except UserError:
        raise
    except Exception as error:  # whatever the storage library makes of damaged files
        raise UserError(
            f"{path} is not an HDF5 file, or damaged ({first_line(error)}): give an .h5 file that Keras wrote"
        ) from error
    return layers


def _inside(group: Any, name: str) -> Any:
    """What lies in a group under a path of names; links to other files are not followed.

    Raises:
      KeyError: there is no such thing.
      ValueError: it lies in another file.
    """
    import h5py

    for part in filter(None, name.split("/")):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{part} is a link, or in no group") if part in group else KeyError(part)
        group = group[part]
    return group


def _numbers(array: Any) -> np.ndarray:
    """A data set's floats, which it holds itself."""
    if (
        array.dtype.kind != "f"
        or array.external
        or array.is_virtual
        or math.prod(array.chunks or ()) > math.prod(array.shape)
    ):
        raise ValueError(f"{array.name} holds no floats of its own")
    return array[()]


def read_architecture(path: pathlib.Path) -> dict[str, dict]:
    """Keras's own description of each layer, by canonical name, from to_json's text, gzipped or not.

    Raises:
      UserError: it is not such a file.
    """
    _require(path)
    try:
        data = read_bytes(path)
        if data[:2] == b"\x1f\x8b":
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(LARGEST)  # more of it is no JSON then
        layers = {canonical(layer["name"]): layer for layer in parse_json(data)["config"]["layers"]}
        for layer in layers.values():
            hints = _KERAS | _KERAS_OF.get(layer["class_name"], {})
            if problem := next(filter(None, (typed.problem(layer["config"].get(k), hints[k], k) for k in hints)), None):
                raise ValueError(problem)
        if not {"BatchNormalization", "InputLayer"} <= {layer["class_name"] for layer in layers.values()}:
            raise ValueError("no input or no BatchNorm")
        return layers
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} is not the architecture of a Keras model ({first_line(error)}): give a model's to_json"
        ) from error


def convert(layers: Weights, name: str, described: dict | None = None) -> tuple[dict, Any, tuple[int, int, int]]:
    """The Flax variables of a Keras network.

    Args:
      layers: all of them, without one too many.
      name: of the file, for errors.
      described: the layers as the architecture file describes them, if there is one.

    Returns:
      (model, variables, image shape): the config's `model` part as a plain dict with the depths; params and
      batch_stats, float32; (height, width, channels).

    Raises:
      UserError: the network is not one of the paper's, or a layer is missing, of another shape, or unknown.
    """
    found = recognise(layers)
    if found is None:
        raise UserError(
            f"{name} is no network of the stage-wise search: its layers are neither residual modules (Conv2D_0_0_0_1) "
            "nor NASNet cells (normal_conv_1_0); choose another file"
        )
    family, depths, stem = found

    def size(axis: int, *path: str) -> int:
        shape = _weight(layers, *keras_weight(("params", *path), family, depths), name, depths).shape
        if len(shape) <= axis:
            raise UserError(f"{name} is damaged ({'/'.join(path)} has shape {shape}): get the file again")
        return shape[axis]

    first_conv = "conv1" if family == "resnet" else "conv"
    model = plain(default().model) | (PAPER if family == "resnet" else {})
    model |= {"family": family, "depths": list(depths), "stem": stem}
    model["widths"] = [size(3, block_name(stage, 0), first_conv, "kernel") for stage in range(len(depths))]
    image_shape = (IMAGE_SIZE, IMAGE_SIZE, size(2, "stem_conv", "kernel"))
    if described:
        norm, inputs = (_first(described, kind) for kind in ("BatchNormalization", "InputLayer"))
        model |= {"bn_epsilon": norm["epsilon"], "bn_momentum": norm["momentum"]}
        image_shape = tuple(size or IMAGE_SIZE for size in inputs["batch_input_shape"][1:])  # None: any size
    classes = size(0, "head", "bias")
    if problem := architecture_of.problem_with(model, depths) or architecture_of.problem_with_data(
        image_shape, classes
    ):
        raise UserError(f"{name} is damaged ({problem}): get the file again")
    module = build(model, depths, classes)
    return model, _fill(shapes_of(module, image_shape), layers, name, family, depths), image_shape


def _first(described: dict[str, dict], kind: str) -> dict:
    return next(layer["config"] for layer in described.values() if layer["class_name"] == kind)


def _fill(wanted: Any, layers: Weights, name: str, family: str, depths: tuple[int, ...]) -> Any:
    """`wanted` with the layers' arrays in it, every one used once."""
    used = set()

    def take(path, leaf):
        layer, weight = keras_weight(tuple(part.key for part in path), family, depths)
        used.add(layer)
        array = _weight(layers, layer, weight, name, depths)
        if weight == "depthwise_kernel" and array.ndim == 4:  # (height, width, channels, 1) in Keras
            array = array.transpose(0, 1, 3, 2)
        if array.shape != leaf.shape:
            raise UserError(
                f"{name} holds weights for another architecture: {weight} of layer {layer!r} is {array.shape}, "
                f"a {family} of depths {depths} needs {leaf.shape}"
            )
        return jnp.asarray(array, leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(take, wanted)
    if extra := sorted(layer for layer, weights in layers.items() if weights and layer not in used):
        raise UserError(
            f"{name} holds weights for another architecture: a {family} of depths {depths} has no layer {extra[0]!r}"
        )
    return variables


def _weight(layers: Weights, layer: str, weight: str, name: str, depths: tuple[int, ...]) -> np.ndarray:
    if weight not in layers.get(layer, {}):
        missing = f"{weight} of layer {layer!r}" if layer in layers else f"layer {layer!r}"
        raise UserError(f"{name} is incomplete, {missing} of depths {depths} is missing: get the file again")
    return layers[layer][weight]


def _compare(layers: Weights, described: dict[str, dict], weights: str, architecture: str) -> None:
    """Raises UserError unless the weights are those of the architecture."""
    ours, theirs = recognise(layers), recognise(described)
    if theirs is None:
        raise UserError(f"{architecture} is no network of the stage-wise search: choose another file")
    if ours is not None and ours != theirs:
        mine, other = (f"a {family} of depths {depths}" for family, depths, _ in (ours, theirs))
        raise UserError(f"{weights} holds weights for another architecture: {mine}, but {architecture} is {other}")
    for name, layer in described.items():
        config = layer["config"]
        filters = config.get("filters", config.get("units"))
        if filters is None:
            continue
        kernels = [array for key, array in layers.get(name, {}).items() if key in ("kernel", "pointwise_kernel")]
        if not kernels:
            raise UserError(f"{weights} is incomplete, layer {name!r} of {architecture} is missing: get the file again")
        if kernels[0].shape[-1] != filters:
            raise UserError(
                f"{weights} holds weights for another architecture: layer {name!r} has {kernels[0].shape[-1]} filters, in "
                f"{architecture} {filters}"
            )


def _require(path: pathlib.Path) -> None:
    if not path.is_file():
        raise UserError(f"there is no file {path}: check the name")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    main()
