"""The search as a pure decision: from the record to what to compute next, or to the next record.

    begin -> rounds, by the growth rule, until nothing is left to grow -> train the final network -> test it once

What a round is, is up to the rule, see `jaxstage.depth_search.rules`. Whoever carries the actions out, the search
itself, the dry run or a test, plays the same search.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from jaxstage import plugins
from jaxstage.config import start_depths
from jaxstage.depth_search import rules
from jaxstage.depth_search.actions import Action, Finish, Train
from jaxstage.depth_search.candidates import new_candidate
from jaxstage.depth_search.limits import CostOf
from jaxstage.depths import Depths
from jaxstage.workdir.record import SOURCE, Record


def decide(record: Record, config, cost_of: CostOf) -> Action | Record | None:
    """What to compute next; where a decision is due instead, the record after it; None when the run is complete."""
    if not record.candidates:
        return _begin(record, config, cost_of)
    if record.stop_reason is None:
        return _by_rule(record, config, cost_of)
    if record.final is None:
        current = record.current
        parent = current.name if current.validation else current.parent  # which has no weights if nothing could grow
        return record.adding(new_candidate("final", "final", current.depths, parent, config, cost_of))
    if record.final.validation is None:
        return Train(record.final.name)
    return Finish() if record.test is None else None


def play(record: Record, config, cost_of: CostOf, perform: Callable[[Action, Record], Record]) -> Iterator[Record]:
    """The records of a run, one after the other, from this one to its end.

    Args:
      record: where it stands.
      config: of the run.
      cost_of: cost of a network by its depths.
      perform: carries out an action; returns the record with what came of it.
    """
    while (due := decide(record, config, cost_of)) is not None:
        record = due if isinstance(due, Record) else perform(due, record)
        yield record


def certain_next(record: Record, name: str, config, cost_of: CostOf) -> Depths | None:
    """The depths that will be trained after a candidate, whatever its training brings; None if that is not known yet."""
    trained = record.replacing(replace(record[name], validation={}, steps=0))
    after = decide(trained, config, cost_of)
    if not isinstance(after, Record) or len(after.candidates) == len(record.candidates):
        return None
    return after.candidates[-1].depths


def _by_rule(record: Record, config, cost_of: CostOf) -> Action | Record:
    rule, name = rules.of(config), config.growth.rule
    if not plugins.is_own(name):
        return rule.decide(record, config, cost_of)
    decide = lambda: rule.decide(record, config, cost_of)
    return plugins.result(name, decide, Action | Record, "an action or a Record", part=".decide")


def _begin(record: Record, config, cost_of: CostOf) -> Record:
    origin = SOURCE if config.source is not None and config.transfer.mode != "scratch" else None
    if config.task in ("train", "transfer"):
        record = replace(record, stop_reason=f"task {config.task}: the depths are given")
        return record.adding(new_candidate("final", "final", config.model.depths, origin, config, cost_of))
    return record.adding(new_candidate("r00_start", "start", start_depths(config), origin, config, cost_of))
