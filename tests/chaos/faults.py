"""The faults that befall a program while it runs: kinds, drawn with their moments."""

import errno
import random
import signal
from collections.abc import Callable
from typing import NamedTuple

from tests.chaos import storage
from tests.chaos.starts import DONE, KILLED, LINE, Blow
from tests.chaos.storage import EVER, Plan

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
PARTS = (
    "search.json",
    "config.json",
    "metrics.jsonl",
    "report.html",
    "tensorboard",
    "checkpoints",
    "final",
    ".jaxstage",
)


class Fault(NamedTuple):
    """What befalls one start of the program.

    Attributes:
      kind: its name.
      plan: for the storage.
      blow: a signal at a time.
      ends: kinds of ends that are in order.
      status: the exit code with a clear line.
      from_scratch: whether the program starts as people start it, imports and all, and not by the server.
    """

    kind: str
    plan: Plan = Plan()
    blow: Blow | None = None
    ends: tuple[str, ...] = (DONE, LINE)
    status: int | None = None
    from_scratch: bool = False

    @property
    def told(self) -> str:
        """Its moment and its strength, for people."""
        plan = {name: value for name, value in self.plan._asdict().items() if value != Plan._field_defaults[name]}
        blow = {name: value for name, value in (self.blow._asdict() if self.blow else {}).items() if value}
        return ", ".join(
            f"{name}={int(value) if name == 'signal' else value}" for name, value in {**plan, **blow}.items()
        )


NONE = Fault("none", ends=(DONE,))


class Span(NamedTuple):
    """How long an undisturbed run is, in calls on files of the work directory and in seconds."""

    calls: int
    seconds: float

    def call(self, chance: random.Random) -> int:
        """A moment; mostly one that comes soon, so that much fits into little time."""
        return 1 + int(chance.random() * self.calls * chance.choice((0.1, 0.25, 0.25, 1.0)))

    def moment(self, chance: random.Random) -> float:
        return chance.random() * self.seconds * chance.choice((0.1, 0.25, 0.25, 1.0))


def killed(chance: random.Random, span: Span) -> Fault:
    """At a call, which is where files are half written, or at any time."""
    return _signalled("killed", signal.SIGKILL, False, chance, span)


def killed_group(chance: random.Random, span: Span) -> Fault:
    return _signalled("killed group", signal.SIGKILL, True, chance, span)


def signalled(chance: random.Random, span: Span) -> Fault:
    number = chance.choice(SIGNALS)
    return _signalled(number.name, number, False, chance, span)


def signalled_twice(chance: random.Random, span: Span) -> Fault:
    """The second one ends it at once."""
    number = chance.choice(SIGNALS)
    plan = Plan(first=span.call(chance), again=chance.randint(1, 200), signal=number)
    return Fault(f"{number.name} twice", plan, ends=(DONE, KILLED, LINE), status=128 + number)


def _signalled(kind: str, number: signal.Signals, group: bool, chance: random.Random, span: Span) -> Fault:
    ends = (DONE, KILLED) if number == signal.SIGKILL else (DONE, LINE)
    found = Fault(kind, ends=ends, status=128 + number)
    if chance.random() < 0.7:
        return found._replace(plan=Plan(first=span.call(chance), signal=number, whole_group=group))
    return found._replace(blow=Blow(number, round(0.5 + span.moment(chance), 2), group))


def signalled_early(chance: random.Random, _: Span) -> Fault:
    """While it imports; before that, Python itself is still to come."""
    number = chance.choice(SIGNALS)
    blow = Blow(number, round(chance.uniform(0.3, 3), 2))
    return Fault("signal at the start", blow=blow, status=128 + number, from_scratch=True)


def disk_full(chance: random.Random, span: Span) -> Fault:
    """From a moment on."""
    return Fault("full disk", Plan(span.call(chance), operations=storage.GROWING, error=errno.ENOSPC))


def read_only(chance: random.Random, span: Span) -> Fault:
    """The whole file system, as after errors, or files and folders of one name."""
    if chance.random() < 0.5:
        return Fault("read-only storage", Plan(span.call(chance), operations=storage.CHANGING, error=errno.EROFS))
    plan = Plan(1, operations=storage.CHANGING, part=chance.choice(PARTS), error=errno.EACCES)
    return Fault("read-only files", plan)


def failing(chance: random.Random, span: Span) -> Fault:
    """From a moment on."""
    plan = Plan(span.call(chance), error=chance.choice((errno.EIO, errno.ESTALE)))
    return Fault("failing storage", plan)


def flickering(chance: random.Random, span: Span) -> Fault:
    """A few calls, or now and then one."""
    error, seed = chance.choice((errno.EIO, errno.ESTALE)), chance.randrange(2**32)
    if chance.random() < 0.5:
        first = span.call(chance)
        return Fault("flickering storage", Plan(first, first + chance.choice((0, 2, 20)), error=error))
    return Fault("flickering storage", Plan(1, share=chance.choice((0.001, 0.01)), error=error, seed=seed))


def slow(chance: random.Random, span: Span) -> Fault:
    """It takes up to half a second for some calls; nothing fails."""
    share, seconds = chance.choice(((0.002, 0.5), (0.05, 0.02)))
    plan = Plan(1, EVER, share=share, seconds=seconds, seed=chance.randrange(2**32))
    return Fault("slow storage", plan, ends=(DONE,))


KINDS: dict[str, tuple[float, Callable[[random.Random, Span], Fault]]] = {
    "killed": (6, killed),
    "killed group": (1, killed_group),
    "signals": (4, signalled),
    "signals twice": (1, signalled_twice),
    "signal at the start": (0.5, signalled_early),
    "full disk": (2, disk_full),
    "read-only": (1.5, read_only),
    "failing storage": (1.5, failing),
    "flickering storage": (1.5, flickering),
    "slow storage": (0.5, slow),
}  # each with how often it is drawn
