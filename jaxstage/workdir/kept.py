"""What a run cannot go on without, each with a copy beside it that knows its digest; and what becomes of damage.

A file that is not what its copy says, or is missing, is read from the copy; a run then sets it aside and writes it anew.
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
    _write(path, json.dumps(data, indent=1))


def read(path: pathlib.Path, parse: Callable[[Any], Any]) -> Found:
    """What a JSON file says, or its copy if the two differ. Changes nothing.

    Where both can be read, the copy is right: it proves itself by its digest, and it is written first. The file is right
    where it has that digest, or says the same as the copy; one that has no copy, of an older version, is taken as it is.

    Args:
      path: of the file.
      parse: makes the value of what JSON has; of damage it raises one of `jaxstage.files.DAMAGE`.

    Raises:
      UserError: it cannot be read, or is damaged and there is no whole copy; or by `parse`, of a file that is whole.
    """
    text, copy = read_if_there(path, errors="replace"), _copied(path)
    if copy is not None and text != copy:
        problem = "is missing" if text is None else "is damaged"
        return Found(parse(parse_json(copy)), f"{path} {problem}: {copy_of(path).name} is used in its place")
    if text is None and not there(copy_of(path)):
        return Found(None)
    try:
        if text is None:
            raise ValueError("is missing")
        if copy is None and there(copy_of(path)) and not _alike(path, text):
            raise ValueError("it is not what was written")
        return Found(parse(parse_json(text)))
    except DAMAGE as error:
        problem = "is missing" if text is None else f"is damaged ({reason(error)})"
        theirs = "is damaged, too" if there(copy_of(path)) else "is missing"
        raise UserError(
            f"{path} {problem} and {copy_of(path).name} {theirs}: get one of them from a backup, or choose another work "
            "directory"
        ) from error


def mend(path: pathlib.Path, found: Found, warn: Callable[[str], None]) -> None:
    """Makes the file and its copy whole again after `read`, sets aside what was not, and says so."""
    copy, text = copy_of(path), _copied(path)
    if text is None:
        if there(copy):
            set_aside(copy, "it has not the digest that it says")
            warn(f"{copy} was damaged and is written anew")
        text = read_if_there(path)
        assert text is not None  # `read` has just read it
    elif found.trouble is None:
        return
    else:
        warn(found.trouble)
        if there(path):
            set_aside(path, found.trouble)
    _write(path, text)


def _write(path: pathlib.Path, text: str) -> None:
    write_text(copy_of(path), f"{_digest(text)}\n{text}")
    write_text(path, text)


def _copied(path: pathlib.Path) -> str | None:
    """What the copy of a file says, or None if there is none or it is damaged."""
    digest, text = _parts(path)
    return text if digest == _digest(text) else None


def _alike(path: pathlib.Path, text: str) -> bool:
    """Whether what is left of a damaged copy, its digest or its text, proves the file to be whole."""
    digest, copied = _parts(path)
    return digest == _digest(text) or copied == text


def _parts(path: pathlib.Path) -> tuple[str, str]:
    """The digest and the text that the copy of a file has, damaged or not."""
    digest, _, text = (read_if_there(copy_of(path), errors="replace") or "").partition("\n")
    return digest, text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
