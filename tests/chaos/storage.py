"""Storage that fails at chosen calls: what is to happen, and the library that makes it happen, see storage.c."""

import ctypes
import pathlib
import struct
import subprocess
from typing import NamedTuple

SOURCE = pathlib.Path(__file__).with_name("storage.c")
EVER = 2**62

OPEN_TO_READ, OPEN_TO_WRITE, READ, WRITE, SYNC, RENAME, MKDIR, LINK, UNLINK = (1 << bit for bit in range(9))
READING = OPEN_TO_READ | READ
GROWING = OPEN_TO_WRITE | WRITE | SYNC | MKDIR | LINK  # what a full disk refuses
CHANGING = OPEN_TO_WRITE | RENAME | MKDIR | LINK | UNLINK  # what a read-only file system refuses
ANY = READING | GROWING | CHANGING


class Plan(NamedTuple):
    """What happens to the calls of a process on files under its work directory; they are counted from 1 on.

    Attributes:
      first, last: calls to which it may happen.
      share: of these to which it does.
      operations: to these kinds of calls.
      part: to paths that contain this.
      error: errno that they fail with; 0: they do not.
      seconds: that they take longer.
      signal: sent at the call `first` instead of all that; 0: none.
      whole_group: whether to the process group.
      again: calls after which the signal comes once more; 0: once only.
      seed: of the choice.
    """

    first: int = EVER
    last: int = EVER
    share: float = 1.0
    operations: int = ANY
    part: str = ""
    error: int = 0
    seconds: float = 0.0
    signal: int = 0
    whole_group: bool = False
    again: int = 0
    seed: int = 0


class _Plan(ctypes.Structure):
    _fields_ = [
        ("root", ctypes.c_char * 4096),
        ("part", ctypes.c_char * 256),
        *((name, ctypes.c_int32) for name in ("operations", "error", "microseconds", "signal", "whole_group", "again")),
        *((name, ctypes.c_int64) for name in ("first", "last", "per_million")),
        ("seed", ctypes.c_uint64),
    ]


class Counts(NamedTuple):
    """Calls so far, and how many of them something was done to."""

    calls: int
    hits: int


def compiled(folder: pathlib.Path) -> pathlib.Path:
    """The library, for LD_PRELOAD."""
    library = folder / "storage.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def arm(plan: Plan, root: str, counts: str) -> None:
    """Lets a plan begin in this process, which was started with the library; counts, a file of `zero`."""
    told = _Plan(
        root=root.encode(),
        part=plan.part.encode(),
        operations=plan.operations,
        error=plan.error,
        microseconds=round(plan.seconds * 1e6),
        signal=plan.signal,
        whole_group=plan.whole_group,
        again=plan.again,
        first=plan.first,
        last=plan.last,
        per_million=round(plan.share * 1e6),
        seed=plan.seed,
    )
    ctypes.CDLL(None).chaos_arm(ctypes.byref(told), counts.encode())


def zero(path: pathlib.Path) -> None:
    path.write_bytes(struct.pack("qq", 0, 0))


def count(path: pathlib.Path) -> Counts:
    return Counts(*struct.unpack("qq", path.read_bytes()))
