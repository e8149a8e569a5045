"""What a run would do, told before it does it: its config, its networks, and guesses of time and disk.

The networks come from the search's own plan, fed with made-up scores. A few real steps of the first network, and of the
first probe where there is one, are measured, in a directory that goes away again; the others lie on the line through
both.
"""

import math
import pathlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from rich.table import Table

from jaxstage.config import default, flatten
from jaxstage.depth_search import choice, plan
from jaxstage.depth_search.actions import Action, Finish, Read, Score, Train
from jaxstage.depth_search.bench import Bench, make_bench, open_run
from jaxstage.depth_search.reading import Reading
from jaxstage.depth_search.train import trained_state
from jaxstage.errors import UserError
from jaxstage.importance import Scores, passes
from jaxstage.report.console import Reporter
from jaxstage.report.monitor import NoMonitor
from jaxstage.report.text import clock
from jaxstage.workdir.record import SOURCE, Candidate, Record

FORWARD = 1 / 3  # of a training step's time: backward takes about twice as long as forward
STEPS, SECONDS = 6, 3.0  # measured, at least


class Measured(NamedTuple):
    """What a network took.

    Attributes:
      network: the candidate.
      step_seconds: of one training step.
      first_seconds: until the first step was there: compilation, or fetching it from its cache, and starting the input.
      checkpoint_bytes: of one checkpoint on disk.
      steps: how many were done.
    """

    network: Candidate
    step_seconds: float
    first_seconds: float
    checkpoint_bytes: int
    steps: int


class Estimate(NamedTuple):
    """Guesses for one way that a run may go: seconds of each network's training and importance, bytes on disk."""

    training: list[float]
    importance: list[float]
    disk: int

    @property
    def seconds(self) -> float:
        return sum(self.training) + sum(self.importance)


def dry_run(config, workdir: pathlib.Path) -> dict:
    """Says what the run of a config in a work directory would do. Writes nothing into the work directory.

    Returns:
      `networks`, those that are trained if every stage rises in every round; `measured`; `seconds` and `bytes` if none
      rises (`least`), if all do (`all_rise`), and the most that a search can come to (`most`).

    Raises:
      UserError: the run would not begin, see its text.
    """
    if config.task == "evaluate":
        raise UserError("--dry_run tells what a training would take, and task evaluate trains nothing: leave it out")
    reporter = Reporter()
    reporter.say(f"dry run: nothing is written into {workdir}")
    config, dataset, source = open_run(config)
    _say_config(reporter, config)
    with tempfile.TemporaryDirectory() as scratch:
        quiet, unstopped = Reporter(quiet=True), lambda: None
        bench = make_bench(_measuring(config), dataset, pathlib.Path(scratch), quiet, unstopped, source)
        all_rise, none_rises = (imagine(config, bench.cost_of, rises) for rises in (True, False))
        trained = [candidate for candidate in all_rise.candidates if candidate.steps is not None]
        measured = [measure(bench, candidate) for candidate in trained[:2]]
    guess = lambda candidates: estimate(candidates, measured, config, dataset, bench.steps_per_epoch)
    probes = tuple(candidate for candidate in all_rise.candidates if candidate.role == "probe")
    cases = {"least": none_rises.candidates, "all_rise": all_rise.candidates, "most": all_rise.candidates + probes}
    guesses = {case: guess(candidates) for case, candidates in cases.items()}
    _say_networks(reporter, all_rise, guesses["all_rise"], config)
    _say_guesses(reporter, measured, guesses)
    fields = ("name", "role", "depths", "parameters", "macs", "separable_macs")
    return {
        "dry_run": True,
        "workdir": str(workdir),
        "networks": [{field: getattr(candidate, field) for field in fields} for candidate in all_rise.candidates],
        "measured": [{**one._asdict(), "network": one.network.name} for one in measured],
        "seconds": {case: round(guess.seconds, 1) for case, guess in guesses.items()},
        "bytes": {case: guess.disk for case, guess in guesses.items()},
    }


def imagine(config, cost_of: Callable, rises: bool) -> Record:
    """The record of a run in which every stage's importance rises in every round, or none ever does.

    It is what the search's own plan makes of such scores, so budgets and limits hold.
    """

    def perform(action: Action, record: Record) -> Record:
        match action:
            case Train(name):
                return record.updating(name, "training", 0.0, validation={"accuracy": 0.0, "loss": 0.0}, steps=0)
            case Read(name):
                return record.updating(name, "importance", 0.0, found=_made_up(record[name], config, cost_of, rises))
            case Score(name):
                # No noise, more for the deeper network, and for a rule without probes some stage that falls short.
                made_up = tuple(
                    depth + stage / 100 if rises else 0.0 for stage, depth in enumerate(record[name].depths)
                )
                return record.updating(name, "importance", 0.0, scores=Scores((made_up,) * 2))
            case Finish():
                return replace(record, test={"accuracy": 0.0, "loss": 0.0})

    *_, last = plan.play(Record(), config, cost_of, perform)
    return last


def _made_up(network: Candidate, config, cost_of: Callable, rises: bool) -> choice.Findings:
    """A reading in which every block gains the same, or none anything."""
    states = choice.states_within(network.lower, network.depths, config.growth, cost_of)
    read = choice.states_to_read(states, config.seed)
    losses = np.array([[-1.0 * sum(depths) * rises] * 2 for depths in read])
    found = choice.judge(Reading(read, losses, losses > 0), states, config.growth, cost_of, config.seed)
    if found.of(found.chosen) is None:
        found = replace(found, chosen=max(read, key=lambda depths: sum(depths) * rises))
    return found


def measure(bench: Bench, candidate: Candidate) -> Measured:
    """Trains a network for a few steps, and for more where these took next to no time.

    Args:
      bench: with a work directory of its own, and a report after every step.
      candidate: the network; it inherits from the source at most.
    """
    parent = candidate.parent if candidate.parent == SOURCE else None
    alone = replace(candidate, parent=parent, validation=None)
    most = bench.training(candidate).epochs * bench.steps_per_epoch
    steps = min(STEPS, most)
    first = clock = _clocked(bench, replace(alone, steps=steps))
    if first.seconds < SECONDS and steps < most:
        steps = min(steps + math.ceil(SECONDS / first.step_seconds), most)
        clock = _clocked(bench, replace(alone, steps=steps))
    newest = bench.workdir / "checkpoints" / alone.name / str(steps)
    size = sum(path.stat().st_size for path in newest.rglob("*") if path.is_file())
    return Measured(alone, clock.step_seconds, first.first_seconds, size, steps)


def _clocked(bench: Bench, candidate: Candidate) -> "_Clock":
    clock = _Clock()
    trained_state(bench, Record((candidate,)), candidate, monitor=clock)
    return clock


def estimate(
    candidates: tuple[Candidate, ...], measured: list[Measured], config, dataset, steps_per_epoch: int
) -> Estimate:
    """Takes what was measured to other networks: time by MACs, compilation by blocks, disk by parameters."""
    step = _line([(one.network.macs, one.step_seconds) for one in measured])
    size = _line([(one.network.parameters, one.checkpoint_bytes) for one in measured])
    last = measured[-1]  # the first network's first step pays for the start of the program as well
    training, importance, disk = [], [], 0
    for candidate in candidates:
        if candidate.steps is None:  # a state of an elastic network
            training.append(0.0)
            importance.append(0.0)
            continue
        settings = config.final if candidate.role == "final" else config.candidate
        image = step(candidate.macs) / config.batch_size
        compiling = last.first_seconds * sum(candidate.depths) / sum(last.network.depths)
        epoch = steps_per_epoch * step(candidate.macs) + dataset.validation.size * image * FORWARD
        training.append(compiling + settings.epochs * epoch)
        looks = passes(config.importance.method, len(candidate.depths)) if candidate.scores else 0
        calibration = min(config.importance.examples or dataset.train.size, dataset.train.size)
        looked_at = looks * calibration
        if candidate.found:
            states = len(candidate.found.states)
            looked_at = states * (calibration + dataset.validation.size)
        importance.append(looked_at * image * FORWARD)
        saves = settings.epochs * steps_per_epoch // (config.checkpoint.every_steps or steps_per_epoch)
        kept = max(min(config.checkpoint.keep, saves), 1)
        disk += round(size(candidate.parameters)) * kept
    return Estimate(training, importance, disk + 4 * candidates[-1].parameters)


def _line(points: list[tuple[float, float]]) -> Callable[[float], float]:
    """The line through two points, never falling; through one, and through two that fall, the one from the origin."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    if x1 == x0 or y1 <= y0:
        return lambda x: y1 * x / x1
    return lambda x: max(y0 + (y1 - y0) * (x - x0) / (x1 - x0), 0.0)


class _Clock(NoMonitor):
    """Hears when the metrics of a step are there, which is when it is done; validations are no part of the time.

    Attributes:
      first_seconds: until the first step was there.
      seconds, steps: from then on.
    """

    def __init__(self):
        self.first_seconds, self.seconds, self.steps = 0.0, 0.0, 0
        self._heard = self._counted = time.monotonic()
        self._step, self._advanced = 0, True

    def training(self, step: int, steps: int, metrics: dict):
        self._heard = time.monotonic()
        # Between two steps the loop waits for the one before the last. Where it waits for both, the second says nothing.
        if self._advanced:
            self._count(step)
        self._advanced = False

    def validation(self, step: int, metrics: dict):
        self._counted += time.monotonic() - self._heard

    def advance(self, step: int):
        self._advanced = True

    def _count(self, step: int):
        if self._step:
            self.seconds, self.steps = self.seconds + self._heard - self._counted, self.steps + step - self._step
        else:
            self.first_seconds = self._heard - self._counted
        self._counted, self._step = self._heard, step

    @property
    def step_seconds(self) -> float:
        """Mean; of a single step, all that it took."""
        return self.seconds / self.steps if self.steps else self.first_seconds


def _measuring(config):
    """The config with a report after every step, so that the loop never runs ahead of the devices."""
    config = config.copy_and_resolve_references()
    config.log_every_steps, config.profile, config.growth.stop_probe = 1, False, None
    return config


def _say_config(reporter: Reporter, config) -> None:
    stock, ours = flatten(default()), flatten(config)
    changed = {key: value for key, value in ours.items() if value != stock[key]}
    table = Table(title="config, where it differs from the defaults", title_justify="left")
    for heading in ("key", "value", "default"):
        table.add_column(heading)
    for key, value in changed.items():
        table.add_row(key, repr(value), repr(stock[key]))
    reporter.console.print(table)
    reporter.say(f"the other {len(ours) - len(changed)} keys are at their defaults, which --help lists")


def _say_networks(reporter: Reporter, record: Record, guess: Estimate, config) -> None:
    searching = len(record.candidates) > 1
    title = "networks that are trained if every stage rises in every round" if searching else "the network"
    table = Table(title=title, title_justify="left")
    for heading in ("network", "depths", "parameters", "MACs", "epochs", "training", "importance"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for candidate, training, importance in zip(record.candidates, guess.training, guess.importance):
        settings = config.final if candidate.role == "final" else config.candidate
        table.add_row(
            candidate.name,
            str(candidate.depths),
            f"{candidate.parameters:,}",
            f"{candidate.macs:,}",
            str(settings.epochs),
            f"~{clock(training)}",
            f"~{clock(importance)}" if importance else "",
        )
    reporter.console.print(table)
    if searching:
        reporter.say(f"then: {record.stop_reason}")


def _say_guesses(reporter: Reporter, measured: list[Measured], guesses: dict[str, Estimate]) -> None:
    for one in measured:
        reporter.say(
            f"measured on {one.network.name}: {1000 * one.step_seconds:.3g} ms a step (of {one.steps}), "
            f"{one.first_seconds:.1f} s until the first one, {_megabytes(one.checkpoint_bytes)} a checkpoint"
        )
    least, every, most = guesses.values()
    if len(measured) > 1:
        reporter.say(
            f"guess: {clock(every.seconds)} and {_megabytes(every.disk)} on disk; {clock(least.seconds)} if no stage "
            f"rises; at most {clock(most.seconds)} and {_megabytes(most.disk)}, where a round that grows only some "
            "stages trains one network more"
        )
    else:
        reporter.say(f"guess: {clock(every.seconds)} and {_megabytes(every.disk)} on disk")
    reporter.say(
        "these are guesses: time grows with MACs, compilation with blocks and disk with parameters, a forward pass "
        "takes a third of a step, and neither the test nor starting the program is in them"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB"
