"""The images that a run had to do without, by name, each once however often the run is resumed.

They lie in WORKDIR/skipped.json, where several hosts run together in a file for each; those that preparing a folder
left out lie beside the prepared set and come along. No JAX here: preparing needs none.
"""

import pathlib
import warnings
from collections.abc import Iterable

from jaxstage.errors import JaxstageWarning
from jaxstage.files import DAMAGED, DamagedFile, read_json, set_aside, write_json

LEFT_OUT = "left_out.json"  # beside a prepared set


def file_in(workdir: pathlib.Path, process: int) -> pathlib.Path:
    """The file of one process."""
    return workdir / (f"skipped.{process}.json" if process else "skipped.json")


def add(path: pathlib.Path, images: Iterable[dict]) -> None:
    """Notes images that are not noted yet. A damaged file is set aside and begun anew.

    Args:
      path: of the file, made when there is something to note.
      images: {split: toy/train, image: its name or number, why}.
    """
    try:
        known = load(path)
    except DamagedFile as damage:
        set_aside(path, str(damage))
        line = f"{path} was damaged: it lies in {path.parent / DAMAGED} now, and images are noted anew"
        warnings.warn(line, JaxstageWarning, stacklevel=2)
        known = []
    if new := [image for image in images if image not in known]:
        write_json(path, {"images": known + new})


def load(path: pathlib.Path) -> list[dict]:
    """The images noted so far.

    Raises:
      UserError: the file is damaged, or cannot be read.
    """
    remedy = "rename it, and its images are noted anew"
    return read_json(path, lambda data: list(data["images"]), remedy) or []
