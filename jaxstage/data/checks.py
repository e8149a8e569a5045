"""What a data set has to be like, so that a mistake in it is told before anything is computed."""

from typing import Any

import numpy as np

from jaxstage.errors import UserError


def arrays(name: str, split: str, images: Any, labels: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The images uint8 (n, height, width, channels) and labels int32 (n,) of a split.

    Args:
      name: of the data set, for the error.
      split: its name, likewise.
      images, labels: as they were given.
      classes: how many there are.

    Raises:
      UserError: they are anything else, differ in number, or a label is none of 0..classes - 1.
    """
    where = f"{name}/{split}"
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise UserError(f"{where}: the images are {_kind(images)}: give a NumPy array of uint8, 0 to 255")
    if images.ndim != 4 or 0 in images.shape:
        raise UserError(f"{where}: the images are of shape {images.shape}: give (number, height, width, channels)")
    return images, label_numbers(where, labels, len(images), classes)


def label_numbers(where: str, labels: Any, images: int, classes: int) -> np.ndarray:
    """Labels as int32 (images,); arguments and errors as of `arrays`."""
    try:
        found = np.asarray(labels)
        with np.errstate(invalid="ignore"):  # of NaN, which is told below
            numbers = found.astype(np.int32)
        whole = found.ndim == 1 and found.dtype.kind in "iufb" and bool(np.all(numbers == found))
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{where}: the labels are {_kind(labels)}: give whole numbers from 0 on, one for each image")
    if len(numbers) != images:
        raise UserError(f"{where}: {images} images and {len(numbers)} labels: give one label for each image")
    wrong = np.flatnonzero((numbers < 0) | (numbers >= classes))
    if len(wrong):
        raise UserError(
            f"{where}: label {numbers[wrong[0]]} of example {wrong[0]}, and {len(wrong) - 1} more, stand for none of the "
            f"{classes} classes: number them from 0 to {classes - 1}, or name all classes"
        )
    return numbers


def same_shape(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raises UserError where the images of splits, (height, width, channels) by their names, differ in shape."""
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
        raise UserError(f"{name}: the images of the splits differ in shape ({told}): bring them to one")


def different(name: str, images: np.ndarray) -> None:
    """Raises UserError where all training images are the same, from which nothing can be learnt."""
    if len(images) > 1 and all(np.array_equal(image, images[0]) for image in images):  # stops at the first other one
        raise UserError(f"{name}: all {len(images)} training images are the same: look at what reads them")


def _kind(given: Any) -> str:
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype} {given.shape}"
    return f"a {type(given).__name__}"
