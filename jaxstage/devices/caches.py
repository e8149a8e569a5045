"""Folders of what was compiled and is run again: only the user may write there, and losing one costs time alone."""

import contextlib
import glob
import os
import pathlib
import re
import stat
import warnings
import zlib

import jax

from jaxstage.errors import JaxstageWarning
from jaxstage.files import local

_OF_JAX = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL)


def unfit(path: pathlib.Path) -> str | None:
    """Why nothing of a folder, or a file, must be run: others could have put it there; or why that is not known.

    A folder that is missing is made, for the user alone.

    Example:
      unfit(pathlib.Path("/tmp"))  # '/tmp may be written by others (mode 1777): chmod go-w it'

    Args:
      path: of a folder, or of a file that is there; it still begins with ~ where there is no home directory.
    """
    if str(path).startswith("~"):
        return f"there is no home directory for {path}: set $HOME"
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        state = path.stat()
    except OSError as error:
        return f"{path} cannot be used ({error.strerror}): mend that"
    if state.st_uid not in (os.geteuid(), 0):  # root can do anything anyway
        return f"{path} belongs to another user (number {state.st_uid}): move it away"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} may be written by others (mode {stat.S_IMODE(state.st_mode):o}): chmod go-w it"
    return None


def use_compilation_cache(directory: str) -> pathlib.Path | None:
    """Keeps compiled programs between runs in a folder; where that cannot be, says so in a JaxstageWarning.

    Args:
      directory: value of config.compilation_cache; "" for not at all.

    Returns:
      The folder, or None if nothing is kept.
    """
    if not directory:
        return None
    expanded = os.path.expanduser(directory)
    homeless = directory.startswith("~/") and expanded == directory
    folder = pathlib.Path(directory) if homeless else local(directory, "config.compilation_cache")
    if why := unfit(folder):
        _warn(f"{why}, or name another folder in --config.compilation_cache; compiled programs are not kept")
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # The many small ones, too: they are a third of what a repeated run would compile otherwise.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


@contextlib.contextmanager
def compilation_cache(directory: str):
    """Keeps compiled programs as `use_compilation_cache` does, and is brief about what goes wrong while the context lasts.

    JAX compiles anew what it cannot read, and warns of each program that it cannot read or write. Here the first is
    a JaxstageWarning, and the others are silent. A damaged entry, of a run that was killed while it wrote it,
    is set aside, or JAX would stumble over it for ever.
    """
    folder = use_compilation_cache(directory)
    if folder is None:
        yield
        return
    told = False

    def show(message, category, *where):
        nonlocal told
        found = _OF_JAX.match(str(message))
        if not found:
            show_others(message, category, *where)
            return
        verb, program, error = found.groups()
        damaged = verb == "reading" and _set_damaged_aside(folder, program)
        what = "a damaged one was set aside" if damaged else f"{verb} one failed, {' '.join(error.split())[:160]}"
        if not told:
            told = True
            _warn(f"compiled programs in {folder}: {what}; this costs time alone, and more of the kind is not told")

    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=_OF_JAX.pattern.partition(" for")[0])
        show_others, warnings.showwarning = warnings.showwarning, show
        yield


def _set_damaged_aside(folder: pathlib.Path, program: str) -> bool:
    """Renames those entries of a program that are not what was written, as their own checksums prove."""
    found = False
    for entry in folder.glob(f"{glob.escape(program)}-*-cache"):
        with contextlib.suppress(OSError):
            data = entry.read_bytes()
            if not _is_whole(data):
                entry.rename(entry.with_name(f"{entry.name}.damaged"))
                found = True
    return found


def _is_whole(data: bytes) -> bool:
    if data.startswith(b"\x28\xb5\x2f\xfd"):  # Zstandard, which JAX takes where it is installed: Python cannot tell
        return True
    with contextlib.suppress(zlib.error):
        return bool(zlib.decompress(data))
    return False


def _warn(line: str) -> None:
    warnings.warn(line, JaxstageWarning, stacklevel=3)
