"""The search as a pure decision: from the record, what to do next.

    begin -> train the start -> open a round -> score it, train and score the probe -> decide -> train what grew -> ...
    until nothing is left to grow -> train the final network -> test it once.

Under the rule `added_blocks` only probes are scored; under `lowest_score` there are none, only candidates.
"""
from dataclasses import dataclass, replace
from typing import Callable

from jaxstage.cost import Cost
from jaxstage.depth_search import growth
from jaxstage.depth_search.record import SOURCE, Candidate, Record, Round


@dataclass(frozen=True)
class Train:
    """Train a candidate and evaluate it on the validation split."""

    name: str


@dataclass(frozen=True)
class Score:
    """Measure the importance of a candidate's stages."""

    name: str


@dataclass(frozen=True)
class Advance:
    """Nothing to compute: `advance` leads to the next record."""


@dataclass(frozen=True)
class Test:
    """Evaluate the final network on the test split and write the artefacts."""


def next_action(record: Record, config) -> Train | Score | Advance | Test | None:
    """What to do next; None when the run is complete."""
    if not record.candidates:
        return Advance()
    if record.stop_reason is None:
        return _next_in_search(record, config)
    if record.final is None:
        return Advance()
    if record.final.validation is None:
        return Train(record.final.name)
    return Test() if record.test is None else None


def _next_in_search(record: Record, config) -> Train | Score | Advance:
    current = record.current
    if current.validation is None:
        return Train(current.name)
    if record.open_round is None:
        return Advance()
    if current.scores is None and config.growth.rule != growth.ADDED_BLOCKS:
        return Score(current.name)
    if record.open_round.probe is None:
        return Advance()
    probe = record[record.open_round.probe]
    if probe.validation is None:
        return Train(probe.name)
    if probe.scores is None:
        return Score(probe.name)
    return Advance()


def advance(record: Record, config, cost_of: Callable[[tuple[int, ...]], Cost]) -> Record:
    """The record after the decision that is due: begin, open a round, close it, or go over to the final training."""
    if not record.candidates:
        return _begin(record, config, cost_of)
    if record.stop_reason is not None:
        return record.adding(_candidate("final", "final", record.current.depths, record.current.name, config, cost_of))
    if record.open_round is None:
        return _open_round(record, config, cost_of)
    return _close_round(record, config, cost_of)


def foreseen(record: Record, config, cost_of: Callable[[tuple[int, ...]], Cost]) -> tuple[int, ...] | None:
    """The depths that will be trained after the current candidate, while that is in training; None if nobody knows."""
    if not record.candidates or record.stop_reason is not None or record.open_round is not None:
        return None
    after = _open_round(record, config, cost_of)
    return after[after.open_round.probe].depths if after.open_round and after.open_round.probe else None


def _begin(record: Record, config, cost_of) -> Record:
    origin = SOURCE if config.source is not None and config.transfer.mode != "scratch" else None
    if config.task in ("train", "transfer"):
        record = replace(record, stop_reason=f"task {config.task}: the depths are given")
        return record.adding(_candidate("final", "final", config.model.depths, origin, config, cost_of))
    return record.adding(_candidate("r00_start", "start", config.model.depths, origin, config, cost_of))


def _open_round(record: Record, config, cost_of) -> Record:
    rules = config.growth
    if len(record.rounds) >= rules.max_rounds:
        return replace(record, stop_reason=f"growth.max_rounds={rules.max_rounds} reached")
    current = record.current
    blocked = growth.obstacles(current.depths, rules, cost_of)
    if all(blocked):
        return replace(record, stop_reason="no stage can grow: " + "; ".join(dict.fromkeys(blocked)))
    if rules.rule == growth.LOWEST_SCORE:
        return replace(record, rounds=(*record.rounds, Round(current.name, None)))
    able = {stage for stage, obstacle in enumerate(blocked) if obstacle is None}
    name = f"r{len(record.rounds) + 1:02d}_probe"
    probe = _candidate(name, "probe", growth.grow(current.depths, able, rules), current.name, config, cost_of)
    return replace(record.adding(probe), rounds=(*record.rounds, Round(current.name, probe.name)))


def _close_round(record: Record, config, cost_of) -> Record:
    rules = config.growth
    current = record.current
    probe = record[record.open_round.probe] if record.open_round.probe else None
    decisions = growth.decide(current.depths, current.scores, probe and probe.scores, rules, cost_of)
    depths = growth.grow(current.depths, {stage for stage, d in enumerate(decisions) if d.grows}, rules)
    if depths == current.depths:
        return replace(record.closing_round(decisions, current.name), stop_reason="converged: no stage grows")
    if probe and depths == probe.depths:  # it is trained already
        return record.closing_round(decisions, probe.name)
    name = f"r{len(record.rounds):02d}_grown"
    parent = (probe or current).name
    return record.adding(_candidate(name, "grown", depths, parent, config, cost_of)).closing_round(decisions, name)


def _candidate(name: str, role: str, depths: tuple[int, ...], parent: str | None, config, cost_of) -> Candidate:
    cost = cost_of(depths)
    if config.inherit.method == "scratch" and parent != SOURCE:
        parent = None
    return Candidate(
        name, role, tuple(depths), parent, cost.parameters, cost.macs, separable_macs=cost.separable_macs,
        latency_ms=cost.latency_ms,
    )  # fmt: skip
