"""What a found network says of pictures: class names with probabilities."""

import io
import os
import pathlib
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxstage.data import Normalization
from jaxstage.data.augment import normalize
from jaxstage.data.decode import Broken, decode
from jaxstage.data.pictures import MODES, fitting_box
from jaxstage.errors import UserError, first_line
from jaxstage.files import local
from jaxstage.workdir.networks import Network, load

Path = str | os.PathLike
Images = np.ndarray | Sequence[np.ndarray] | Sequence[Path] | Path


class Prediction(NamedTuple):
    """What a network says of one picture.

    Attributes:
      label: name of the most probable class.
      probability: of that class, 0..1.
      probabilities: of all classes by name, the most probable first.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


def predict(network: Network | Path, images: Images, *, batch_size: int = 128, trust: bool = False) -> list[Prediction]:
    """Classifies pictures of any size.

    Example:
      jaxstage.predict("runs/flowers", ["daisy.jpg", "rose.png"])[0].label

    Args:
      network: a finished run's work directory, or what `jaxstage.load` gives for one, which saves loading it again.
      images: paths of files, JPEG, PNG, WebP, TIFF and the like, or one path; or uint8 pixels 0..255:
        (n, height, width, channels), one picture (height, width, channels), grey pictures without channels, or a sequence
        of pictures that differ in size. Of a network with other channels than pictures have, .npy files of such pixels.
        They are turned upright as the camera noted, what is transparent becomes white, and they are brought to the
        network's size as in evaluation: as they are if they have it, else as `fit` of its architecture.json says, by
        default the centre, 87.5 % of the shorter side.
      batch_size: pictures that are computed at once.
      trust: as for `jaxstage.load`, where `network` is a work directory.

    Returns:
      One prediction for each picture, in order.

    Raises:
      UserError: there is no finished run, a file is no picture, or pixels have another type or shape.
    """
    network = network if isinstance(network, Network) else load(network, trust)
    size, channels = network.image_shape[:2], network.image_shape[-1]
    pictures = _pictures(images, _kinds(channels))
    found = []
    for start in range(0, len(pictures), batch_size):
        pixels = np.stack(
            [_read(picture, size, channels, network.fit) for picture in pictures[start : start + batch_size]]
        )
        padded = np.zeros((_rounded(len(pixels), batch_size), *pixels.shape[1:]), np.uint8)
        padded[: len(pixels)] = pixels
        normalization = Normalization(network.metadata["mean"], network.metadata["std"])
        probabilities = _probabilities(network.module, network.variables, padded, normalization)
        found += [_prediction(network.class_names, row) for row in np.asarray(probabilities)[: len(pixels)]]
    return found


@partial(jax.jit, static_argnums=0)  # of the module, which can be hashed: a second call compiles nothing
def _probabilities(module: nn.Module, variables: Any, images: jax.Array, normalization: Normalization) -> jax.Array:
    """Float32 (n, classes), of uint8 (n, height, width, channels)."""
    return jax.nn.softmax(jnp.asarray(module.apply(variables, normalize(images, normalization), train=False)))


def _prediction(class_names: tuple[str, ...], probabilities: np.ndarray) -> Prediction:
    ordered = {class_names[place]: float(probabilities[place]) for place in np.argsort(-probabilities, kind="stable")}
    label = next(iter(ordered))
    return Prediction(label, ordered[label], ordered)


def _rounded(number: int, batch_size: int) -> int:
    """The next power of two, so that few sizes are compiled; `batch_size` at most."""
    return min(1 << (number - 1).bit_length(), batch_size)


def _kinds(channels: int) -> tuple[int, ...]:
    """How many channels a picture may have that a network of so many takes."""
    return (1, 3, 4) if channels in MODES else (channels,)


def _pictures(images: Images, kinds: tuple[int, ...]) -> Sequence[Path | np.ndarray]:
    """One entry for each picture: a path, or pixels."""
    if isinstance(images, (str, os.PathLike)):
        return [images]
    if isinstance(images, Sequence):
        return images
    pixels = np.asarray(images)
    one = pixels.ndim == 2 or pixels.ndim == 3 and pixels.shape[-1] in kinds
    return list(pixels[None] if one else pixels)


def _read(picture: Path | np.ndarray, size: tuple[int, int], channels: int, fit: str) -> np.ndarray:
    """Uint8 (height, width, channels)."""
    box_of = partial(fitting_box, size=size, fit=fit)
    if not isinstance(picture, (str, os.PathLike)):
        return decode(_checked(np.asarray(picture), channels), size, channels, box_of)
    path = local(picture, "FILE")
    if channels not in MODES:
        return decode(_checked(_array(path), channels), size, channels, box_of)
    try:
        return decode(_bytes(path), size, channels, box_of)
    except Broken as error:
        raise UserError(f"{path} is no picture that can be read ({error}): give JPEG or PNG files") from error


def _array(path: pathlib.Path) -> np.ndarray:
    try:
        return np.load(io.BytesIO(_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(
            f"{path} has no pixels ({first_line(error)}): give .npy files, which numpy.save writes"
        ) from error


def _bytes(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError as error:
        raise UserError(f"{path} is a directory: give the files in it, {path}/*") from error
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: check the name") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from error


def _checked(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise UserError(f"pictures of type {pixels.dtype}: give uint8 pixels, 0 to 255")
    if pixels.ndim == 2 and channels in MODES:
        return pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in _kinds(channels) or 0 in pixels.shape:
        wanted = "1 or 3" if channels in MODES else channels
        raise UserError(f"a picture of shape {pixels.shape}: give (height, width, channels), with {wanted} channels")
    return pixels
