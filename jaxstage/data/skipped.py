"""The images that a run had to do without, by name, each once however often the run is resumed.

They lie in WORKDIR/skipped.json, where several hosts run together in a file for each; those that preparing a folder
left out lie beside the prepared set and come along. No JAX here: preparing needs none.
"""

import pathlib
from collections.abc import Iterable

from jaxstage.files import read_json, write_json

LEFT_OUT = "left_out.json"  # beside a prepared set


def file_in(workdir: pathlib.Path, process: int) -> pathlib.Path:
    """The file of one process."""
    return workdir / (f"skipped.{process}.json" if process else "skipped.json")


def add(path: pathlib.Path, images: Iterable[dict]) -> None:
    """Notes images that are not noted yet.

    Args:
      path: of the file, made when there is something to note.
      images: {split: toy/train, image: its name or number, why}.
    """
    known = load(path)
    if new := [image for image in images if image not in known]:
        write_json(path, {"images": known + new})


def load(path: pathlib.Path) -> list[dict]:
    """The images noted so far.

    Raises:
      UserError: the file is damaged.
    """
    remedy = "rename it, and its images are noted anew"
    return read_json(path, lambda data: list(data["images"]), remedy) or []
