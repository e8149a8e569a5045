"""Paths as people give them: ~ is their home, and what lies on no file system of this machine is refused."""
import os
import pathlib
import re

from jaxstage.errors import UserError

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
