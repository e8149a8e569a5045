"""What the test at a run's end says besides loss and accuracy: WORKDIR/test.json. No JAX here: pages are drawn from it.

A page that is drawn later needs neither the data nor the network. Without the file, as of older runs, it says less.
"""

import base64
import io
import pathlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxstage.config import typed
from jaxstage.files import read_json, write_json
from jaxstage.workdir.confusion import Confusion

FILE = "test.json"
PICTURES, LARGEST = 12, 96  # misclassified pictures that are kept, and their pixels a side
MOST_BYTES = 2**18  # of one of them, far more than any of ours


@dataclass(frozen=True)
class Picture:
    """A misclassified picture: the true class, the named one, its probability, and a PNG in base64."""

    label: str
    named: str
    probability: float
    png: str


@dataclass(frozen=True)
class Tested:
    """The test of a network.

    Attributes:
      class_names, confusion: see `jaxstage.workdir.confusion.Confusion`.
      machine: what it was trained on, a line.
      pictures: misclassified ones, those first of which the network was surest.
    """

    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    machine: str
    pictures: tuple[Picture, ...] = ()

    @property
    def counts(self) -> Confusion:
        return Confusion(self.class_names, self.confusion)


def write(workdir: pathlib.Path, counts: Confusion, machine: str, pictures: list[Picture]) -> None:
    """Writes the file whole.

    Raises:
      UserError: it cannot be written.
    """
    data = {"class_names": counts.class_names, "confusion": counts.rows, "machine": machine}
    write_json(workdir / FILE, data | {"pictures": [vars(picture) for picture in pictures]})


def read(workdir: pathlib.Path) -> Tested | None:
    """What the file says, or None if there is none.

    Raises:
      UserError: it cannot be read, or is damaged.
    """
    remedy = "move it away; the page does without it"
    return read_json(workdir / FILE, _checked, remedy)


def png(pixels: np.ndarray) -> str | None:
    """Uint8 (height, width, 1 or 3), made smaller if need be, as a PNG in base64; None of other channels."""
    import PIL.Image

    if pixels.shape[-1] not in (1, 3):
        return None
    picture = PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _checked(data: Any) -> Tested:
    pictures = tuple(
        Picture(**{key: one[key] for key in ("label", "named", "probability", "png")}) for one in data["pictures"]
    )
    rows = tuple(map(tuple, data["confusion"]))
    found = Tested(tuple(data["class_names"]), rows, data["machine"], pictures)
    if problem := typed.problem(found, Tested):
        raise ValueError(problem)
    classes = len(found.class_names)
    whole = len(rows) == classes and all(len(row) == classes and min(row, default=0) >= 0 for row in rows)
    if not whole or not found.counts.examples:
        raise ValueError("its confusion matrix does not fit its classes")
    for picture in pictures:
        image = base64.b64decode(picture.png, validate=True)
        if not image.startswith(b"\x89PNG") or len(image) > MOST_BYTES:
            raise ValueError("a picture is no small PNG")
    return found
