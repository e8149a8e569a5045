"""One run that goes through fault after fault, always continued by the same command, and what must come of it."""

import pathlib
import random
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from tests.chaos import faults, harm, keeping, starts
from tests.chaos.faults import NONE, Fault, Span
from tests.chaos.harm import Damage
from tests.chaos.starts import BAD, DONE, HANGS, LINE, End, Server

MOST_FAULTS = 12  # in one run
SEARCHES = ("elastic", "relative_rise", "transfer")
TINY = [
    "--config=configs/digits.py",
    "--config.model.widths=(4,8)",
    "--config.model.depths=(1,1)",
    "--config.growth.step=1",
    "--config.growth.max_rounds=1",
    "--config.growth.margin=0.0",
    "--config.growth.least_gain=0.0",
    "--config.data.examples=300",
    "--config.batch_size=64",
    "--config.candidate.epochs=2",
    "--config.final.epochs=2",
    "--config.importance.shares=2",
    "--config.importance.examples=64",
    "--config.checkpoint.every_steps=2",
    "--config.devices=1",
]  # 4 steps an epoch, a checkpoint every 2


class Reference(NamedTuple):
    """An undisturbed run.

    Attributes:
      flags: all of its command, but for the work directory.
      outcome: see `keeping.outcome`.
      logged: see `keeping.logged`.
      span: how long it is.
    """

    flags: list[str]
    outcome: dict
    logged: set[tuple]
    span: Span


class Befallen(NamedTuple):
    """A fault and what came of it.

    Attributes:
      kind, told: of the fault, and its moment.
      end: kind of the end of the start that it befell, or of the one after the damage.
      line: that it ended with.
      failures: what is not as it should be; none if all is well.
    """

    kind: str
    told: str
    end: str
    line: str
    failures: tuple[str, ...] = ()


def references(server: Server, folder: pathlib.Path, searches: Collection[str]) -> dict[str, Reference]:
    """Runs the searches once by the plain program, and once by the server, which also says how long they are.

    Args:
      server: that starts programs.
      folder: for their work directories and what is compiled.
      searches: which of SEARCHES; transfer, which trains on from relative_rise, needs that as well.
    """
    shutil.rmtree(folder / "undisturbed", ignore_errors=True)
    cache = f"--config.compilation_cache={folder / 'compiled'}"
    commands = {rule: [*TINY, cache, f"--config.growth.rule={rule}"] for rule in ("elastic", "relative_rise")}
    source = folder / "undisturbed" / "relative_rise"
    commands["transfer"] = [*TINY, cache, "--config.task=transfer", f"--config.source={source}"]
    return {name: _reference(name, commands[name], server, folder) for name in SEARCHES if name in searches}


def _reference(name: str, flags: list[str], server: Server, folder: pathlib.Path) -> Reference:
    workdir, again = folder / "undisturbed" / name, folder / "undisturbed" / f"{name}_again"
    ends = [starts.plain([*flags, f"--workdir={workdir}"])]
    start = time.monotonic()
    ends.append(server.run("jaxstage.main", [*flags, f"--workdir={again}"], again))
    span = Span(ends[1].calls, time.monotonic() - start)
    if any(end.kind != DONE for end in ends):
        raise SystemExit(f"error: the undisturbed run {name} fails: {[(end.line, end.errors[-500:]) for end in ends]}")
    outcome = keeping.outcome(workdir)
    if keeping.outcome(again) != outcome:
        raise SystemExit(f"error: two undisturbed runs {name} differ, see {workdir} and {again}")
    return Reference(flags, outcome, keeping.logged(workdir), span)


class Story:
    """A run: its number decides which search it is and what befalls it, so it can be told again."""

    def __init__(
        self, server: Server, found: dict[str, Reference], folder: pathlib.Path, seed: int, number: int, kinds
    ):
        """Args: kinds, names of those that may befall it; the others are those of `references` and of flags."""
        self.number, self.name = number, sorted(found)[number % len(found)]
        self.workdir = folder / f"run{number}"
        self.before = folder / f"run{number}_before_last_start"
        self.reference, self._server, self._kinds, self._cache = found[self.name], server, kinds, folder / "compiled"
        self._chance = random.Random(f"{seed}/{number}")
        self.argv = [*self.reference.flags, f"--workdir={self.workdir}"]
        self._damage: list[Damage] = []  # all of it
        self._fatal: list[Damage] = []  # that may end in a refusal
        self._logs_count, self._lost_lines, self._shared, self._done = True, set(), False, False

    def play(self) -> Iterator[Befallen]:
        """Yields every fault that hit, and at last the check of the whole as a fault "finished"."""
        self.clear()  # of a storm that was ended
        for _ in range(MOST_FAULTS):
            yield from self._start(self._draw(), self._hurt() if self._chance.random() < 0.5 else None)
            if self._done:
                break
        yield from self._finish()

    def clear(self) -> None:
        for folder in (self.workdir, self.before):
            shutil.rmtree(folder, ignore_errors=True)

    def _draw(self) -> Fault:
        known = {name: entry for name, entry in faults.KINDS.items() if name in self._kinds}
        if not known:
            return NONE
        weights, makers = zip(*known.values())
        return self._chance.choices(makers, weights)[0](self._chance, self.reference.span)

    def _hurt(self) -> Damage | None:
        """Damages something, if there is something to damage."""
        known = [name for name in harm.KINDS if name in self._kinds]
        if not known or not self.workdir.exists():
            return None
        (kind,) = self._chance.choices(known, [harm.KINDS[name][0] for name in known])
        if any(one.unseen() for one in self._damage if one.kind == kind):
            return None  # what there was two of would be gone
        self._before = keeping.kept(self.workdir)
        lines = keeping.logged(self.workdir)
        done = harm.damaged(kind, self._cache if kind == harm.CACHE else self.workdir, self._chance)
        if done is None:
            return None
        self._lost_lines |= lines - keeping.logged(self.workdir)
        self._damage.append(done)
        if done.only_copy:
            self._fatal.append(done)
        return done

    def _start(self, fault: Fault, hurt: Damage | None) -> Iterator[Befallen]:
        """One start, with what was damaged before it and the fault that befalls it."""
        before = self._before if hurt else keeping.kept(self.workdir)
        shutil.rmtree(self.before, ignore_errors=True)
        if self.workdir.exists():
            shutil.copytree(self.workdir, self.before)
        end = self._run(fault)
        self._done = end.kind == DONE
        unclear = [*self._unclear(fault, end)]
        failures = tuple(unclear + keeping.losses(self.workdir, before, self._damage, self._shared))
        if not self._shared and (self.workdir / ".jaxstage").exists():
            keeping.put_foreign(self.workdir)
            self._shared = True
        if end.hit and fault.plan.error:
            self._logs_count = False
        kind = BAD if unclear and end.kind != HANGS else end.kind
        if hurt:
            yield Befallen(hurt.kind, f"{hurt.told}, then {fault.kind} {fault.told}".strip(), kind, end.line, failures)
            if hurt.kind == harm.CACHE:
                hurt.mend()
        if end.hit:
            yield Befallen(fault.kind, fault.told, kind, end.line, () if hurt else failures)
        elif not hurt:
            yield Befallen("none", "", kind, end.line, failures)

    def _run(self, fault: Fault) -> End:
        if fault.from_scratch:
            return starts.plain(self.argv, fault.blow)
        return self._server.run("jaxstage.main", self.argv, self.workdir, fault.plan, fault.blow)

    def _unclear(self, fault: Fault, end: End) -> Iterator[str]:
        """What is wrong with an end, if anything; mends what may be refused, and was."""
        if end.kind in (BAD, HANGS):
            yield f"{end.kind}: {end.line}"
        elif end.kind == LINE and self._refused(end.line):
            return
        elif end.kind == LINE and end.line.startswith("error:") and not fault.plan.error:
            yield f"refused: {end.line}"
        elif end.kind not in (*fault.ends, DONE):
            yield f"ended by {end.line} after {fault.kind}"
        elif end.kind == LINE and fault.status and end.status != fault.status:
            yield f"exit code {end.status} instead of {fault.status}"

    def _refused(self, line: str) -> bool:
        """Whether damage explains a refusal; then it is undone, as from a backup."""
        explaining = [one for one in self._fatal if one.unseen() and one.named_in(line)]
        for one in explaining:
            one.mend()
            self._damage.remove(one)
            self._fatal.remove(one)
        return bool(explaining)

    def _finish(self) -> Iterator[Befallen]:
        """Ends the run without faults and looks at what came of it; a finished one is often damaged once more."""
        hurt = self._hurt() if self._chance.random() < 0.7 else None
        if hurt or not self._done:
            yield from (told := list(self._start(NONE, hurt)))
            if told[-1].end == LINE and not told[-1].failures:  # refused for good reason, and mended
                yield from (told := list(self._start(NONE, None)))
            if told[-1].failures:
                return
        failures = [*self._wrong()]
        yield Befallen("finished", "", BAD if failures else DONE, "", tuple(failures))

    def _wrong(self) -> Iterator[str]:
        network = self.workdir / "final"
        loaded = lambda: self._server.run("tests.chaos.loads", [str(self.workdir)], self.workdir)
        end = loaded()
        if end.kind == LINE and any(path.is_relative_to(network) for one in self._damage for path in one.before):
            network.rename(self.workdir / "moved away as it says")
            self._server.run("jaxstage.main", self.argv, self.workdir)
            end = loaded()
        if end.kind != DONE:
            yield f"what was handed over does not load: {end.line}"
            return
        found, expected = keeping.outcome(self.workdir), self.reference.outcome
        yield from (
            f"{name} differs: {found[name]} instead of {expected[name]}"
            for name in expected
            if found[name] != expected[name]
        )
        lines = keeping.logged(self.workdir)
        if self._logs_count and (lost := self.reference.logged - lines - self._lost_lines):
            yield f"metrics.jsonl lacks {sorted(lost)}"


def played(make: Callable[[int], Any], first: int) -> Iterator[tuple[Any, Befallen]]:
    """Story after story, from the one of number `first` on; what is left of each that ends well is removed."""
    number = first
    while True:
        story = make(number)
        for befallen in story.play():
            yield story, befallen
        story.clear()
        number += 1
