"""The search driver: plays the plan on a bench, and writes the record after every step."""

import functools
import time
from dataclasses import replace

from jaxstage.depth_search import plan
from jaxstage.depth_search.actions import Action, Finish, Read, Score, Train
from jaxstage.depth_search.bench import Bench
from jaxstage.depth_search.judge import look_for_divergence, read, score, test
from jaxstage.depth_search.train import trained_state
from jaxstage.depth_search.work import reading_work, scoring_work, training_work
from jaxstage.devices import hosts
from jaxstage.errors import Stopped, is_disk_full, transient
from jaxstage.report import curves
from jaxstage.report.console import Reporter
from jaxstage.report.html import page
from jaxstage.workdir import networks
from jaxstage.workdir import record as records
from jaxstage.workdir.record import Record


def run(bench: Bench) -> Record:
    """Runs or continues the search (or the single training) in the bench's work directory.

    Returns:
      The complete record.

    Raises:
      UserError: see its text.
      Stopped: a signal came; the same command continues.
    """
    start, record = time.monotonic(), records.load(bench.workdir)
    hosts.wait("the record is loaded")  # before anybody writes the next
    hosts.on_primary(_warn_of_lost_curves, record, bench)
    if record.test and not networks.exist(bench.workdir):  # deleted: hand them over again
        record = replace(record, test=None)
    seconds, perform = record.seconds, functools.partial(_perform, bench=bench)
    try:
        for after in plan.play(record, bench.config, bench.cost_of, perform):
            after = replace(after, seconds=seconds + time.monotonic() - start)
            hosts.on_primary(records.save, after, bench.workdir)
            _tell(bench.reporter, record, after)
            if record.open_round and not after.open_round:
                _draw(bench)
            record = after
    except Exception as error:
        if not (is_disk_full(error) or transient(error.__cause__ or error)):  # else a page would fare no better
            _draw(bench)
        raise
    _draw(bench)
    return record


def _perform(action: Action, record: Record, bench: Bench) -> Record:
    if signal := bench.stop_signal():
        raise Stopped(signal)
    start, energy = time.monotonic(), bench.joules()
    spent = lambda: (time.monotonic() - start, bench.joules() - energy)
    trained = lambda name: trained_state(bench, record, record[name])[0]
    match action:
        case Train(name):
            ahead = plan.certain_next(record, name, bench.config, bench.cost_of)
            state, validation = trained_state(bench, record, record[name], ahead)
            look_for_divergence(bench, record[name], validation)
            steps = int(state.step)
            work = training_work(bench, record[name], steps)
            return record.updating(name, "training", *spent(), work, validation=validation, steps=steps)
        case Score(name):
            scores = score(bench, record[name], trained(name))
            return record.updating(name, "importance", *spent(), scoring_work(bench, record[name]), scores=scores)
        case Read(name):
            found = read(bench, record[name], trained(name))
            work = reading_work(bench, [state.depths for state in found.states])
            return record.updating(name, "importance", *spent(), work, found=found)
        case Finish():
            final = record.final
            return replace(record, test=test(bench, final, trained(final.name)))


def _warn_of_lost_curves(record: Record, bench: Bench) -> None:
    for line in curves.lost(curves.read(bench.workdir), record):
        bench.reporter.warn(line)


def _draw(bench: Bench) -> None:
    if hosts.primary():
        page.refresh(bench.workdir, bench.reporter.warn)


def _tell(reporter: Reporter, before: Record, after: Record) -> None:
    """Says what is new in the record."""
    for old, new in zip(before.candidates, after.candidates):
        if old.scores is None and new.scores is not None:
            seconds = new.seconds
            reporter.say(
                f"{new.name}: importance of all stages measured in {seconds['importance']:.1f} s "
                f"(its training took {seconds['training']:.1f} s)"
            )
        if old.found is None and new.found is not None:
            reporter.response(new.found)
    if before.open_round and not after.open_round:
        reporter.round(after, after.rounds[-1])
    if after.rounds and before.models_trained < after.models_trained and not after.open_round and not after.final:
        reporter.standing(after)
    if before.stop_reason is None and after.stop_reason is not None and after.path:  # without one nothing was searched
        reporter.say(f"search ends: {after.stop_reason}")
