"""Paths as people give them, and files that are there whole or not at all."""

import contextlib
import json
import os
import pathlib
import re
import stat
from typing import Any

from jaxstage.errors import UserError, is_disk_full

LARGEST = 2**28  # bytes of a text that is read: no file of ours comes near it
DEEPEST = 50  # levels of a JSON file, of which ours have ten
MOST_UNPACKED, MOST_A_BYTE = 2**28, 100  # see `require_stored`
MEND = "mend that and run the same command again"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/|(file):")


def local(path: str | os.PathLike, name: str) -> pathlib.Path:
    """The path, with ~ expanded.

    Example:
      local("~/runs/one", "--workdir")  # PosixPath('/home/me/runs/one')

    Args:
      path: as it was given.
      name: of the flag, key or variable that it was given with, for the error.

    Raises:
      UserError: it is a URL, gs://bucket/run or file:/run, or there is no such home.
    """
    text = os.fspath(path)
    if found := _SCHEME.match(text):
        scheme = found[1] or found[2]
        raise UserError(
            f"{name}={text}: {scheme}: is not supported, only paths on this machine; give one, of a mounted bucket or of "
            "a copy"
        )
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{name}={text}: there is no such home directory; write the path out") from error


@contextlib.contextmanager
def explaining_a_full_disk(failed: str, then: str = ""):
    """Turns the error of a full disk into one that says so.

    Args:
      failed: what would have failed: "writing x.json".
      then: what the same command does, once there is space.
    """
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise UserError(
            f"the disk is full, {failed} failed: free some space and run the same command again{then}"
        ) from error


def write_json(path: pathlib.Path, data: dict) -> None:
    """Replaces a JSON file as `write_text` does."""
    write_text(path, json.dumps(data, indent=1))


def write_text(path: pathlib.Path, text: str) -> None:
    """Replaces a file atomically and durably.

    Raises:
      UserError: the disk is full, or the file cannot be written; the old one is untouched.
    """
    temporary = path.with_name(path.name + ".tmp")
    with explaining_a_full_disk(f"writing {path}"):
        try:
            temporary.unlink(missing_ok=True)  # written anew: a link of that name leads out of the folder
            with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if is_disk_full(error):
                raise
            remedy = "choose another place or mend that, and run the same command again"
            raise UserError(f"cannot write {path} ({error.strerror}): {remedy}") from error


def read_text(path: pathlib.Path, remedy: str = MEND) -> str:
    """The text of a file, in UTF-8; remedy: what to do if it cannot be read.

    Raises:
      UserError: it cannot be read, is no file but a folder, a pipe or a device, or larger than any of ours.
      ValueError: it is no text.
    """
    return read_bytes(path, remedy).decode()


def read_bytes(path: pathlib.Path, remedy: str = MEND) -> bytes:
    """What is in a file, which has at most `LARGEST` bytes.

    Raises:
      UserError: as for `read_text`.
    """
    try:
        kind, size = path.stat().st_mode, path.stat().st_size
        if not stat.S_ISREG(kind):  # a pipe would be waited for, a device may never end
            raise OSError(0, "Is a directory" if stat.S_ISDIR(kind) else "it is a pipe or a device")
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1) if size <= LARGEST else b""
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): {remedy}") from error
    if max(size, len(data)) > LARGEST:
        raise UserError(f"{path} is larger than {LARGEST >> 20} MiB, which no such file is: get it again")
    return data


def read_json(path: pathlib.Path, remedy: str = MEND) -> Any:
    """What a JSON file says, whoever wrote it.

    Raises:
      UserError: it cannot be read, as for `read_text`.
      ValueError: it is not JSON, or nested more deeply than any of ours.
    """
    return parse_json(read_text(path, remedy))


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says; it raises ValueError as `read_json` does."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level, depth = [found], 0
    while level := [part for one in level for part in _parts(one)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
    return found


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def require_within(folder: pathlib.Path, place: pathlib.Path) -> int:
    """Looks whether a folder has nothing but files and folders that lie within `place`; returns their bytes together.

    Raises:
      UserError: there is a link that leads out of it, or a pipe or a device, which would be waited for.
    """
    size, home = 0, place.resolve()
    for path in (folder, *folder.rglob("*")):
        try:
            kind = path.stat()
            inside = path.resolve(strict=True).is_relative_to(home)
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror}): get the folder again") from error
        if not inside:
            raise UserError(
                f"{path} is a link that leads out of {place}: copy that folder with `cp -rL` and use the copy"
            )
        if not (stat.S_ISREG(kind.st_mode) or stat.S_ISDIR(kind.st_mode)):
            raise UserError(f"{path} is a pipe or a device, which no run leaves: get the folder again")
        size += kind.st_size
    return size


def require_stored(path: str | os.PathLike, described: int, stored: int) -> None:
    """Looks whether a file can hold what it says, before memory is taken for it.

    Args:
      path: of the file or folder.
      described: bytes that it says it unpacks to.
      stored: bytes that it has.

    Raises:
      UserError: it takes more memory than this machine has, or more than `MOST_UNPACKED` bytes and `MOST_A_BYTE` for
        each on the disk.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if max(described, stored) > memory or described > max(MOST_UNPACKED, MOST_A_BYTE * stored):
        raise UserError(f"{path} has {stored:,} bytes and says that they unpack to {described:,}: get it again")
