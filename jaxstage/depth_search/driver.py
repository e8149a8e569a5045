"""The search driver: asks the plan what to do, has it done, writes the record, until nothing is left to do."""
import dataclasses
import time
from dataclasses import replace

from jaxstage import artefacts, hosts
from jaxstage.depth_search import plan, record as records
from jaxstage.depth_search.record import Record
from jaxstage.depth_search.trainer import Trainer
from jaxstage.errors import Stopped, is_disk_full
from jaxstage.report.console import Reporter
from jaxstage.report.html import page


def run(trainer: Trainer) -> Record:
    """Runs or continues the search (or the single training) in the trainer's work directory.

    Returns:
      The complete record.

    Raises:
      UserError: see its text.
      Stopped: a signal came; the same command continues.
    """
    clock, record = _Clock(), records.load(trainer.workdir)
    hosts.wait("the record is loaded")  # before anybody writes the next
    if record.test and not artefacts.exist(trainer.workdir):  # deleted: hand them over again
        record = replace(record, test=None)
    try:
        while action := plan.next_action(record, trainer.config):
            if signal := trainer.stop_signal():
                raise Stopped(signal)
            after = _perform(action, record, trainer)
            after = replace(after, seconds=after.seconds + clock.lap())
            hosts.on_primary(records.save, after, trainer.workdir)
            _tell(trainer.reporter, record, after)
            if record.open_round and not after.open_round:
                _draw(trainer)
            record = after
    except Exception as error:
        if not is_disk_full(error):  # else there is no room for a page either
            _draw(trainer)
        raise
    _draw(trainer)
    return record


def _perform(action, record: Record, trainer: Trainer) -> Record:
    start, energy = time.monotonic(), trainer.joules()
    spent = lambda: (time.monotonic() - start, trainer.joules() - energy)
    match action:
        case plan.Train(name):
            ahead = plan.foreseen(record, trainer.config, trainer.cost_of)
            state, validation = trainer.train(record, record[name], ahead)
            steps = int(state.step)
            work = trainer.training_work(record[name], steps)
            return record.updating(name, "training", *spent(), work, validation=validation, steps=steps)
        case plan.Score(name):
            scores = trainer.score(record, record[name])
            return record.updating(name, "importance", *spent(), trainer.scoring_work(record[name]), scores=scores)
        case plan.Read(name):
            found = trainer.read(record, record[name])
            work = trainer.reading_work([state.depths for state in found.states])
            return record.updating(name, "importance", *spent(), work, found=found)
        case plan.Test():
            return replace(record, test=trainer.test(record, record.final))
        case plan.Advance():
            return plan.advance(record, trainer.config, trainer.cost_of)


def _draw(trainer: Trainer) -> None:
    if hosts.primary():
        page.refresh(trainer.workdir, trainer.reporter.warn)


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
            found = dataclasses.asdict(new.found)
            reporter.response(found["states"], found["response"], found["frontier"], new.found.chosen)
    if before.open_round and not after.open_round:
        reporter.round(after, after.rounds[-1])
    if after.rounds and before.models_trained < after.models_trained and not after.open_round and not after.final:
        reporter.standing(after)
    if before.stop_reason is None and after.stop_reason is not None:
        reporter.say(f"search ends: {after.stop_reason}")


class _Clock:
    """Wall time since the last lap."""

    def __init__(self):
        self._last = time.monotonic()

    def lap(self) -> float:
        last, self._last = self._last, time.monotonic()
        return self._last - last
