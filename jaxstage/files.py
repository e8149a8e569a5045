"""Paths as people give them, and files that are there whole or not at all."""

import contextlib
import json
import os
import pathlib
import re
import stat
import time
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jaxstage.errors import JaxstageWarning, UserError, first_line, is_disk_full, reason, transient

T = TypeVar("T")
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # seconds, between tries of what storage may do at the next one

LONGEST_PATH, LONGEST_NAME = 4095, 255  # bytes, on Linux
LARGEST = 2**28  # bytes of a text that is read: no file of ours comes near it
DEEPEST = 50  # levels of a JSON file, of which ours have ten
MOST_UNPACKED, MOST_A_BYTE = 2**28, 100  # see `require_stored`
DAMAGE = (AttributeError, KeyError, TypeError, ValueError)  # what making something of a damaged file may raise
DAMAGED = "damaged"  # beside the files or checkpoints that are whole: what was set aside
MEND, MOVE = "mend that and run the same command again", "move it away and run the same command again"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/|(file):")


class DamagedFile(UserError):
    """A file can be read, and is not what it should be."""


def local(path: str | os.PathLike, name: str) -> pathlib.Path:
    """The path, with ~ expanded.

    Example:
      local("~/runs/one", "--workdir")  # PosixPath('/home/me/runs/one')

    Args:
      path: as it was given.
      name: of the flag, key or variable that it was given with, for the error.

    Raises:
      UserError: it is a URL, gs://bucket/run or file:/run, there is no such home, or no file can be called so.
    """
    text = os.fspath(path)
    if not text:
        raise UserError(f"{name} is empty: give a path")
    if not in_one_line(text):
        raise UserError(f"{name}={text!r}: has control characters, or is not in UTF-8; rename it")
    if len(text.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in text.split("/")):
        raise UserError(f"{name}={text[:50]}...: is longer than file systems allow; choose a shorter one")
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


def in_one_line(text: str) -> bool:
    """Whether a text can be printed in one line, in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes on the command line that are not in UTF-8
        return False
    return not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text)


def retried(do: Callable[[], T], doing: str, pauses: Sequence[float] | None = None) -> T:
    """Does something with the storage, again after a growing pause while its errors may be gone at the next try.

    Example:
      retried(path.read_text, f"reading {path}")

    Args:
      do: called without arguments, once more than there are pauses at most.
      doing: what that is, for the line (a JaxstageWarning) that tells of each failure.
      pauses: in seconds; PAUSES by default.

    Returns:
      What it returns; the last error is raised as it is.
    """
    for pause in PAUSES if pauses is None else pauses:
        try:
            return do()
        except Exception as error:
            if (origin := transient(error)) is None:
                raise
            line = f"{doing} failed ({first_line(origin)}): trying again in {pause:g} s"
            warnings.warn(line, JaxstageWarning, stacklevel=2)
        time.sleep(pause)
    return do()


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


@contextlib.contextmanager
def explaining_a_failed_write(failed: str, then: str = ""):
    """Turns the error of a full disk, of missing rights or of a failing disk into one that says so; arguments likewise."""
    try:
        with explaining_a_full_disk(failed, then):
            yield
    except Exception as error:
        # TensorStore has its own for them, and ends their text with [os_error_code='5'], older ones with [OS error 5: ...].
        of_storage = isinstance(error, ValueError) and re.search("os_error|OS error", str(error))
        if isinstance(error, UserError) or not (isinstance(error, OSError) or of_storage or transient(error)):
            raise
        raise UserError(
            f"{failed} failed ({first_line(transient(error) or error)}): mend that and run the same command again{then}"
        ) from error


def write_json(path: pathlib.Path, data: dict) -> None:
    """Replaces a JSON file as `write_text` does."""
    write_text(path, json.dumps(data, indent=1))


def write_text(path: pathlib.Path, text: str) -> None:
    """Replaces a file atomically and durably.

    Raises:
      UserError: the disk is full, or the file cannot be written; the old one is untouched.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write {path} (not a regular file): choose another place")
    temporary = path.with_name(path.name + ".tmp")

    def write():
        temporary.unlink(missing_ok=True)  # written anew: a link of that name leads out of the folder
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    with explaining_a_full_disk(f"writing {path}"):
        try:
            retried(write, f"writing {path}")
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if is_disk_full(error):
                raise
            remedy = "choose another place or mend that, and run the same command again"
            raise UserError(f"cannot write {path} ({error.strerror}): {remedy}") from error


def read_text(path: pathlib.Path) -> str:
    """The text of a file, in UTF-8.

    Raises:
      UserError: there is none, it is no text, or as for `read_if_there`.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error.reason}): choose another file") from error


def read_bytes(path: pathlib.Path) -> bytes:
    """What is in a file.

    Raises:
      UserError: there is none, or as for `read_if_there`.
    """
    data = _bytes(path)
    if data is None:
        raise UserError(f"cannot read {path} (No such file or directory): {MEND}")
    return data


def read_if_there(path: pathlib.Path, errors: str = "strict") -> str | None:
    """The text of a file, or None if there is none; errors: what becomes of bytes that are no UTF-8, as for `open`.

    Raises:
      UserError: it cannot be read, is no file but a folder, a pipe or a device, or larger than any of ours.
      ValueError: it is no text.
    """
    data = _bytes(path)
    return None if data is None else data.decode(errors=errors)


def _bytes(path: pathlib.Path, remedy: str = MEND) -> bytes | None:
    def read() -> tuple[int, bytes]:
        kind, size = path.stat().st_mode, path.stat().st_size
        if not stat.S_ISREG(kind):  # a pipe would be waited for, a device may never end
            raise OSError(0, "Is a directory" if stat.S_ISDIR(kind) else "it is a pipe or a device")
        with open(path, "rb") as file:
            return size, file.read(LARGEST + 1) if size <= LARGEST else b""

    try:
        size, data = retried(read, f"reading {path}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): {remedy}") from error
    if max(size, len(data)) > LARGEST:
        raise UserError(f"{path} is larger than {LARGEST >> 20} MiB, which no such file is: get it again")
    return data


def read_json(path: pathlib.Path, parse: Callable[[Any], Any] = lambda data: data, remedy: str = "") -> Any | None:
    """What a JSON file says, whoever wrote it, or None if there is none.

    Args:
      path: of the file.
      parse: makes the value of what JSON has; of damage it raises one of DAMAGE.
      remedy: what to do if it cannot be read or is damaged, if not the usual.

    Raises:
      DamagedFile: it is damaged.
      UserError: it cannot be read.
    """
    data = _bytes(path, remedy or MEND)
    try:
        return None if data is None else parse(parse_json(data.decode()))
    except DAMAGE as error:
        raise DamagedFile(f"{path} is damaged ({reason(error)}): {remedy or MOVE}") from error


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises:
      ValueError: it is not JSON, or nested more deeply than any of ours.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level, depth = [found], 0
    while level := [part for one in level for part in parts(one)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
    return found


def parts(value: Any) -> Any:
    """The values of an object or a list of JSON; nothing of others."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def there(path: pathlib.Path) -> bool:
    """Whether there is something of that name.

    Raises:
      UserError: the folder that it would lie in cannot be looked into.
    """
    try:
        retried(path.stat, f"looking at {path}")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): mend that and run the same command again") from error
    return True


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


def require_usable(path: pathlib.Path, folder: bool) -> None:
    """Looks whether what lies there, if anything does, is a folder that can be written to, or a file that can be read.

    Raises:
      UserError: it is not.
    """
    if not there(path):
        return
    wanted, rights = ("a folder", os.R_OK | os.W_OK | os.X_OK) if folder else ("a file", os.R_OK)
    if path.is_dir() != folder:
        raise UserError(f"{path} is not {wanted}: {MOVE}")
    if not os.access(path, rights):
        use = "written to" if folder else "read"
        raise UserError(f"{path} cannot be {use}: change its rights and run the same command again")


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
