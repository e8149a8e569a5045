"""The two ways a run ends early without being a bug."""

import errno
import os
import pathlib
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

LONGEST = 160  # characters of another's text that an error tells

# Control characters but for tabs and line ends, what turns the direction of writing, and half characters.
_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(Exception):
    """Something the user can mend. The text is one line that names the value and the remedy."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows in the traceback's place."""
        return [f"UserError: {self}"]


class UnknownPreset(UserError):
    """A config has no preset of that name.

    Attributes:
      known: the names that it has.
    """

    def __init__(self, preset: str, known: tuple[str, ...]):
        super().__init__(f"unknown preset {preset!r}: choose one of {', '.join(known)}")
        self.known = known


class OwnCodeError(UserError):
    """Code of the user's own, named MODULE:FUNCTION, raised an error.

    Attributes:
      trace: its traceback, from that code on.
    """

    def __init__(self, name: str, error: Exception):
        super().__init__(f"{name} raised {type(error).__name__}: {first_line(error)}")
        here, frame = str(pathlib.Path(__file__).parent), error.__traceback__
        while frame and frame.tb_next and frame.tb_frame.f_code.co_filename.startswith(here):
            frame = frame.tb_next
        self.trace = "".join(traceback.format_exception(error.with_traceback(frame)))


class Stopped(Exception):
    """A signal asked the run to stop; everything is saved.

    Attributes:
      signal: number of the signal, so that the exit code can be 128 + signal as shells expect.
    """

    def __init__(self, signal: int):
        super().__init__(f"stopped by signal {signal}")
        self.signal = signal


class JaxstageWarning(UserWarning):
    """Something that went wrong and cost time at most. The text is one line; commands print it as one."""


def first_line(error: BaseException) -> str:
    """What an error says: its first line, not all of a long one."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:LONGEST]


def reason(error: BaseException) -> str:
    """What an error says, in one line; KeyError('x') and the like say nothing without their names."""
    return first_line(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {first_line(error)}"


def brief(value: Any, longest: int = LONGEST) -> str:
    """A value for an error, in one line without the middle of a long one."""
    try:
        told = repr(value).replace("\n", " ")
    except Exception:  # of somebody's own; and Python writes no whole numbers of thousands of digits
        told = f"<{type(value).__name__}>"
    return told if len(told) <= longest else f"{told[: longest - 20]}...{told[-10:]}"


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names, with how many more there are.

    Example:
      some("abcde")  # 'a, b, c and 2 more'
    """
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def printable(text: str) -> str:
    """A text as it can be shown anywhere: names from elsewhere may have what a terminal obeys, or no encoding has.

    Example:
      printable("a\\x1b[2Jb")  # 'a\\\\x1b[2Jb'
    """
    return _UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that the disk is full.

    TensorStore reports a full disk as a ValueError with the operating system's text, not as an OSError.
    """
    return any(
        getattr(one, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        or "No space left on device" in str(one)
        or "Disk quota exceeded" in str(one)
        for one in _origins(error)
    )


_TRANSIENT = {
    getattr(errno, name)
    for name in """EIO ESTALE ETIMEDOUT EAGAIN EBUSY EINTR EREMOTEIO ENETDOWN ENETUNREACH ENETRESET ENOTCONN ECONNRESET
    ECONNABORTED ECONNREFUSED EHOSTDOWN EHOSTUNREACH""".split()
    if hasattr(errno, name)
}
_TRANSIENT_TEXT = re.compile(
    r"\bUNAVAILABLE\b|\bDEADLINE_EXCEEDED\b|\b503\b.*Unavailable|"
    + "|".join(re.escape(os.strerror(number)) for number in sorted(_TRANSIENT))
)


def transient(error: BaseException | None) -> BaseException | None:
    """An error of the storage that may be gone at the next try: the given one or the first one that it came from, if any.

    TensorStore and Orbax report such errors as a ValueError or RuntimeError with a status or the operating system's
    text. What was explained already (UserError) is none, nor is a full disk.
    """
    if isinstance(error, UserError) or is_disk_full(error):
        return None
    found = (
        one
        for one in _origins(error)
        if isinstance(one, OSError) and one.errno in _TRANSIENT or _TRANSIENT_TEXT.search(str(one))
    )
    return next(found, None)


def _origins(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from, each once: one that was raised again may be its own origin."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
