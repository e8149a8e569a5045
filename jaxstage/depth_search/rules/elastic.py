"""Elastic search: the whole depths tuple is chosen by what the states of an elastic network read (DESIGN.md, section 3.2).

    open a round -> train the elastic network -> read its states -> choose one -> a deeper elastic network ...
    until no stage ends at its deepest

With growth.min_depth the first elastic network is the one that was given, model.depths, and may become shallower.
Elastic networks are the only ones that are trained before the final one, which inherits from the last of them. How the
choice is made says `jaxstage.depth_search.choice`.
"""

from dataclasses import replace

from jaxstage.depth_search import limits
from jaxstage.depth_search.actions import Action, Read, Train
from jaxstage.depth_search.candidates import new_candidate
from jaxstage.depth_search.limits import CostOf
from jaxstage.depths import Depths
from jaxstage.workdir.record import Record, Round, StageDecision


class Elastic:
    """The rule, see the top."""

    noun = "importance"

    def decide(self, record: Record, config, cost_of: CostOf) -> Action | Record:
        if record.open_round is None:
            return _open_round(record, config, cost_of)
        network = record[record.open_round.probe]
        if network.steps is None:
            return Train(network.name)
        return Read(network.name) if network.found is None else _close_round(record, config, cost_of)


RULE = Elastic()


def _open_round(record: Record, config, cost_of: CostOf) -> Record:
    rules, start = config.growth, record.candidates[0]
    if len(record.rounds) >= rules.max_rounds:
        return replace(record, stop_reason=f"growth.max_rounds={rules.max_rounds} reached")
    before = record[record.rounds[-1].probe] if record.rounds else None
    upper = _upper(record, before.depths if before else start.depths, config, cost_of)
    if before and upper == before.depths:
        return replace(record, stop_reason="the best depths lie inside: no stage that may go on ends at its deepest")
    if upper == start.depths:
        blocked = limits.obstacles(start.depths, rules, cost_of)
        return replace(record, stop_reason="no stage can grow: " + "; ".join(dict.fromkeys(filter(None, blocked))))
    name = f"r{len(record.rounds) + 1:02d}_elastic"
    network = new_candidate(name, "elastic", upper, before.name if before else start.parent, config, cost_of)
    network = replace(network, lower=start.depths)
    return replace(record.adding(network), rounds=(*record.rounds, Round(record.current.name, name)))


def _upper(record: Record, upper: Depths, config, cost_of: CostOf) -> Depths:
    """The depths of the next elastic network, after one of some upper depths, or after the start."""
    start, given = record.candidates[0].depths, tuple(config.model.depths)
    may_shrink = not record.rounds and given != start
    most = given if may_shrink else limits.beyond(upper, record.current.depths, config.growth)
    return limits.deepen(start, upper, most, config.growth, cost_of)


def _close_round(record: Record, config, cost_of: CostOf) -> Record:
    current, network = record.current, record[record.open_round.probe]
    found = network.found
    name = f"r{len(record.rounds):02d}_chosen"
    chosen = new_candidate(name, "chosen", found.chosen, network.name, config, cost_of)
    why = lambda grows: found.why if grows else f"no block more: {found.why}"
    decisions = tuple(
        StageDecision(
            None,
            None,
            importance,
            error,
            None,
            None,
            new > old,
            why(new > old),
            evidence=importance,
            evidence_error=error,
            noun=RULE.noun,
        )
        for old, new, importance, error in zip(current.depths, found.chosen, found.importance, found.importance_errors)
    )
    as_read = lambda candidate: replace(candidate, validation=found.of(candidate.depths).validation)
    record = record.replacing(as_read(record.candidates[0])).adding(as_read(chosen))
    return record.closing_round(decisions, name)
