"""The search as a pure decision: from the record, what to do next.

    begin -> train the start -> open a round -> score it, train and score the probe -> decide -> train what grew -> ...
    until nothing is left to grow -> train the final network -> test it once.

Under the rule `lowest_score` there are no probes, only candidates. Under the rule `elastic` the probes are elastic
networks, the only ones that are trained:

    begin -> open a round -> train the elastic network -> read its states -> choose one -> a deeper elastic network ...
    until no stage ends at its deepest -> train the final network, which inherits from the elastic one -> test it once.
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
class Read:
    """Look at the states of an elastic network."""

    name: str


@dataclass(frozen=True)
class Advance:
    """Nothing to compute: `advance` leads to the next record."""


@dataclass(frozen=True)
class Test:
    """Evaluate the final network on the test split and write the artefacts."""


def next_action(record: Record, config) -> Train | Score | Read | Advance | Test | None:
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


def _next_in_search(record: Record, config) -> Train | Score | Read | Advance:
    if config.growth.rule == growth.ELASTIC:
        return _next_in_elastic_search(record)
    current = record.current
    if current.validation is None:
        return Train(current.name)
    if record.open_round is None:
        return Advance()
    if current.scores is None:
        return Score(current.name)
    if record.open_round.probe is None:
        return Advance()
    probe = record[record.open_round.probe]
    if probe.validation is None:
        return Train(probe.name)
    if probe.scores is None:
        return Score(probe.name)
    return Advance()


def _next_in_elastic_search(record: Record) -> Train | Read | Advance:
    if record.open_round is None:
        return Advance()
    network = record[record.open_round.probe]
    if network.steps is None:
        return Train(network.name)
    return Read(network.name) if network.found is None else Advance()


def advance(record: Record, config, cost_of: Callable[[tuple[int, ...]], Cost]) -> Record:
    """The record after the decision that is due: begin, open a round, close it, or go over to the final training."""
    if not record.candidates:
        return _begin(record, config, cost_of)
    if record.stop_reason is not None:
        current = record.current
        parent = current.name if current.validation else current.parent  # which has no weights if nothing could grow
        return record.adding(_candidate("final", "final", current.depths, parent, config, cost_of))
    elastic = config.growth.rule == growth.ELASTIC
    if record.open_round is None:
        return (_open_elastic_round if elastic else _open_round)(record, config, cost_of)
    return (_close_elastic_round if elastic else _close_round)(record, config, cost_of)


def foreseen(record: Record, config, cost_of: Callable[[tuple[int, ...]], Cost]) -> tuple[int, ...] | None:
    """The depths that will be trained after the current candidate, while that is in training; None if not known yet."""
    if not record.candidates or record.stop_reason is not None or record.open_round is not None:
        return None  # also under the rule elastic, which trains nothing between rounds
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


def _open_elastic_round(record: Record, config, cost_of) -> Record:
    rules, start = config.growth, record.candidates[0]
    if len(record.rounds) >= rules.max_rounds:
        return replace(record, stop_reason=f"growth.max_rounds={rules.max_rounds} reached")
    before = record[record.rounds[-1].probe] if record.rounds else None
    upper = growth.deepen(start.depths, before.depths if before else start.depths, record.current.depths, rules, cost_of)
    if before and upper == before.depths:
        return replace(record, stop_reason="the best depths lie inside: no stage that may go on ends at its deepest")
    if upper == start.depths:
        blocked = growth.obstacles(start.depths, rules, cost_of)
        return replace(record, stop_reason="no stage can grow: " + "; ".join(dict.fromkeys(filter(None, blocked))))
    name = f"r{len(record.rounds) + 1:02d}_elastic"
    network = _candidate(name, "elastic", upper, before.name if before else start.parent, config, cost_of)
    network = replace(network, lower=start.depths)
    return replace(record.adding(network), rounds=(*record.rounds, Round(record.current.name, name)))


def _close_elastic_round(record: Record, config, cost_of) -> Record:
    current, network = record.current, record[record.open_round.probe]
    found = network.found
    name = f"r{len(record.rounds):02d}_chosen"
    chosen = _candidate(name, "chosen", found.chosen, network.name, config, cost_of)
    why = lambda grows: found.why if grows else f"no block more: {found.why}"
    decisions = tuple(
        growth.StageDecision(None, None, importance, error, None, None, new > old, why(new > old))
        for old, new, importance, error in zip(
            current.depths, found.chosen, found.importance, found.importance_errors
        )
    )
    as_read = lambda candidate: replace(candidate, validation=found.of(candidate.depths).validation)
    record = record.replacing(as_read(record.candidates[0])).adding(as_read(chosen))
    return record.closing_round(decisions, name)


def _candidate(name: str, role: str, depths: tuple[int, ...], parent: str | None, config, cost_of) -> Candidate:
    cost = cost_of(depths)
    if config.inherit.method == "scratch" and parent != SOURCE:
        parent = None
    return Candidate(
        name, role, tuple(depths), parent, cost.parameters, cost.macs, separable_macs=cost.separable_macs,
        latency_ms=cost.latency_ms,
    )  # fmt: skip
