"""What a run cannot go on without, each with a copy beside it, both with their digest; and what becomes of damage.

A file that is not what its digest says, or is missing, is read from the copy; a run then sets it aside and writes it anew.
An error that says nothing about the contents, of rights or of a failing disk, is told, and everything stays as it is.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxstage.errors import UserError, reason
from jaxstage.files import DAMAGE, parse_json, read_if_there, set_aside, there, write_text

CONFIG, RECORD = "config.json", "search.json"
DIGEST = "sha256"  # the last key of each file: that of the text without it


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
    """Replaces a JSON file, its copy first, so that one of the two is whole at any moment.

    Raises:
      UserError: the disk is full, or it cannot be written.
    """
    data = {key: value for key, value in data.items() if key != DIGEST}
    text = json.dumps(data | {DIGEST: _digest(data)}, indent=1)
    write_text(copy_of(path), text)
    write_text(path, text)


def read(path: pathlib.Path, parse: Callable[[Any], Any]) -> Found:
    """What a JSON file says, or its copy if the two differ. Changes nothing.

    Where both are whole, the copy is right: it is written first. A file without digest and copy is of an older version,
    and taken as it is.

    Args:
      path: of the file.
      parse: makes the value of what JSON has; of damage it raises one of `jaxstage.files.DAMAGE`.

    Raises:
      UserError: it cannot be read, or is damaged and there is no whole copy; or by `parse`, of a file that is whole.
    """
    text, copied = _text(path), _text(copy_of(path))
    if text is None and copied is None:
        return Found(None)
    try:
        if (whole := _whole(copied)) is not None:
            problem = "is missing" if text is None else "is damaged"
            told = f"{path} {problem}: {copy_of(path).name} is used in its place"
            return Found(parse(whole), None if text == copied else told)
        if (whole := _whole(text)) is None:
            whole = _of_an_older_version(text, copied)
        return Found(parse(whole))
    except DAMAGE as error:
        problem = "is missing" if text is None else f"is damaged ({reason(error)})"
        theirs = "is missing" if copied is None else "is damaged, too"
        raise UserError(
            f"{path} {problem} and {copy_of(path).name} {theirs}: get one of them from a backup, or choose another work "
            "directory"
        ) from error


def mend(path: pathlib.Path, found: Found, warn: Callable[[str], None]) -> None:
    """Makes the file and its copy whole again after `read`, sets aside what was not, and says so."""
    copy = copy_of(path)
    data = _whole(_text(copy))
    if data is not None and found.trouble is None:
        return
    if data is None:
        if there(copy):
            set_aside(copy, "it has not the digest that it says")
            warn(f"{copy} was damaged and is written anew")
        data = parse_json(_text(path) or "")  # `read` has just read it
        data.pop(DIGEST, None)
    elif found.trouble:
        warn(found.trouble)
        if there(path):
            set_aside(path, found.trouble)
    write(path, data)


def _text(path: pathlib.Path) -> str | None:
    return read_if_there(path, errors="replace")


def _whole(text: str | None) -> dict | None:
    """What a text says, without its digest, if that proves it to be as it was written."""
    try:
        data = parse_json(text or "")
        return data if data.pop(DIGEST) == _digest(data) else None
    except DAMAGE:
        return None


def _of_an_older_version(text: str | None, copied: str | None) -> Any:
    """What a text without a digest says; raises one of DAMAGE where it should have one."""
    data = parse_json(text or "")
    if copied is not None or DIGEST in data:
        raise ValueError("it is not what was written")
    return data


def _digest(data: dict) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()
