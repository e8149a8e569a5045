"""What a run cannot go on without: config.json and search.json, each with a copy beside it; and what becomes of damage.

A file that is damaged or missing is read from its copy; a run then sets it aside and puts the copy in its place. An
error that says nothing about the contents, of rights or of a failing disk, is told, and everything stays as it is.
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxstage.errors import UserError, reason
from jaxstage.files import DAMAGE, parse_json, read_if_there, there, write_json, write_text

CONFIG, RECORD = "config.json", "search.json"
DAMAGED = "damaged"  # beside the files or checkpoints that are whole: what was set aside


class Found(NamedTuple):
    """What a file says.

    Attributes:
      value: as it was parsed; None if neither the file nor its copy is there.
      trouble: why it was read from the copy, a line for people; None if it was not.
    """

    value: Any
    trouble: str | None = None


def copy_of(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.copy")


def write(path: pathlib.Path, data: dict) -> None:
    """Replaces a JSON file and then its copy, so that one of the two is whole at any moment.

    Raises:
      UserError: the disk is full, or it cannot be written.
    """
    write_json(path, data)
    write_json(copy_of(path), data)


def read(path: pathlib.Path, parse: Callable[[Any], Any]) -> Found:
    """What a JSON file says, or its copy if it is damaged or missing. Changes nothing.

    Args:
      path: of the file.
      parse: makes the value of what JSON has; of damage it raises one of `jaxstage.files.DAMAGE`.

    Raises:
      UserError: it cannot be read, or is damaged and there is no whole copy; or by `parse`, of a file that is whole.
    """
    problems = []
    for place in (path, copy_of(path)):
        try:
            text = read_if_there(place)
            if text is None:
                problems.append("is missing")
                continue
            value = parse(parse_json(text))
        except DAMAGE as error:
            problems.append(f"is damaged ({reason(error)})")
            continue
        return Found(value, f"{path} {problems[0]}: {place.name} is used in its place" if problems else None)
    if problems == ["is missing"] * 2:
        return Found(None)
    raise UserError(
        f"{path} {problems[0]} and {copy_of(path).name} {problems[1]}: get one of them from a backup, or choose another "
        "work directory"
    )


def mend(path: pathlib.Path, found: Found, warn: Callable[[str], None]) -> None:
    """Puts the copy in the place of what `read` found damaged or missing, and says so; else does nothing."""
    if found.trouble is None:
        return
    warn(found.trouble)
    if there(path):
        set_aside(path, found.trouble)
    whole = read_if_there(copy_of(path))
    assert whole is not None  # `read` has just read it
    write_text(path, whole)


def set_aside(path: pathlib.Path, why: str) -> None:
    """Moves what is damaged to damaged/ beside it, with a text that says why.

    Raises:
      UserError: it cannot be moved.
    """
    place, name = path.parent / DAMAGED, path.name
    try:
        place.mkdir(exist_ok=True)
        while (place / name).exists():
            name += "_again"
        path.rename(place / name)
    except OSError as error:
        raise UserError(f"cannot move {path} to {place} ({error.strerror}): mend that, and run it again") from error
    write_text(place / f"{name}.txt", f"{path.name} was set aside: {why}. Nothing needs it any more.\n")
