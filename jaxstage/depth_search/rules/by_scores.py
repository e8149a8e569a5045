"""What rules have in common that compare scores of importance.

    train the current candidate -> open a round -> score it, train and score the probe -> grow -> train what grew -> ...

The probe has a growth step more at every stage that may grow; some rules need none. A stage grows if the evidence for
it is above its noise, the most of it first, and within limits and budgets.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jaxstage.depth_search import limits
from jaxstage.depth_search.actions import Action, Score, Train
from jaxstage.depth_search.candidates import new_candidate
from jaxstage.depth_search.limits import CostOf
from jaxstage.depths import Depths
from jaxstage.importance.interface import Scores
from jaxstage.workdir.record import Record, Round, StageDecision


@dataclass(frozen=True)
class ByScores:
    """A rule of this kind.

    Attributes:
      noun: what the evidence is called.
      weigh: from the scores of the current candidate and of the probe to the evidence for each stage and its standard
        error, each float64 (stages,).
      probes: whether there is a probe; without one `weigh` gets None for its scores.
    """

    noun: str
    weigh: Callable[[Scores, Scores | None], tuple[np.ndarray, np.ndarray]]
    probes: bool

    def decide(self, record: Record, config, cost_of: CostOf) -> Action | Record:
        """What to compute next in a search, or its record after the decision that is due."""
        current = record.current
        if current.validation is None:
            return Train(current.name)
        if record.open_round is None:
            return self._open_round(record, config, cost_of)
        if current.scores is None:
            return Score(current.name)
        if self.probes:
            probe = record[record.open_round.probe]
            if probe.validation is None:
                return Train(probe.name)
            if probe.scores is None:
                return Score(probe.name)
        return self._close_round(record, config, cost_of)

    def is_clear(self, before: Scores, after: Scores, rules) -> bool:
        """Whether every stage's evidence is more than rules.stop_probe standard errors away from its threshold.

        The rule by which a probe's training ends early: what is so far away would hardly come out otherwise after more
        epochs. It knows nothing of what these would change in the network itself, so it is off by default.
        """
        evidence, error = self.weigh(before, after)
        return bool((np.abs(evidence - rules.margin * error) > rules.stop_probe * error).all())

    def judge(
        self, depths: Depths, before: Scores, after: Scores | None, rules, cost_of: CostOf
    ) -> tuple[StageDecision, ...]:
        """Which stages grow, and why.

        Args:
          depths: of the current candidate.
          before, after: scores of the current candidate and of the probe, None without one.
          rules: the config's `growth` part.
          cost_of: cost of a network by its depths.
        """
        evidence, error = self.weigh(before, after)
        chosen, reasons = self._choose(depths, evidence, error, rules, cost_of)
        with_errors = lambda values, errors: zip(values.tolist(), errors.tolist())
        nothing = itertools.repeat((None, None))
        seen = with_errors(evidence, error)
        of_probe = with_errors(after.values, after.errors) if after else nothing
        numbers = zip(with_errors(before.values, before.errors), of_probe, seen)
        return tuple(
            StageDecision(
                *was,
                *then,
                *(found if after else (None, None)),
                grows=stage in chosen,
                why=reasons[stage],
                evidence=found[0],
                evidence_error=found[1],
                noun=self.noun,
            )
            for stage, (was, then, found) in enumerate(numbers)
        )

    def _choose(
        self, depths: Depths, evidence: np.ndarray, error: np.ndarray, rules, cost_of: CostOf
    ) -> tuple[set[int], dict[int, str]]:
        blocked = limits.obstacles(depths, rules, cost_of)
        chosen: set[int] = set()
        reasons = {}
        for stage in sorted(range(len(depths)), key=lambda stage: -evidence[stage]):
            if blocked[stage]:
                reasons[stage] = blocked[stage]
            elif not evidence[stage] > 0:
                reasons[stage] = f"no {self.noun} above 0"
            elif not evidence[stage] > rules.margin * error[stage]:
                reasons[stage] = f"{self.noun} within {_standard_errors(rules.margin)}"
            elif rules.max_stages is not None and len(chosen) >= rules.max_stages:
                reasons[stage] = f"growth.max_stages={rules.max_stages}, others have a higher {self.noun}"
            elif excess := limits.over_budget(cost_of(limits.grow(depths, chosen | {stage}, rules)), rules):
                reasons[stage] = f"{excess} beside the stages of higher {self.noun}"
            else:
                chosen.add(stage)
                reasons[stage] = f"{self.noun} above {_standard_errors(rules.margin)}"
        return chosen, reasons

    def _open_round(self, record: Record, config, cost_of: CostOf) -> Record:
        rules, current = config.growth, record.current
        if len(record.rounds) >= rules.max_rounds:
            return replace(record, stop_reason=f"growth.max_rounds={rules.max_rounds} reached")
        blocked = limits.obstacles(current.depths, rules, cost_of)
        if all(blocked):
            return replace(record, stop_reason="no stage can grow: " + "; ".join(dict.fromkeys(blocked)))
        if not self.probes:
            return replace(record, rounds=(*record.rounds, Round(current.name, None)))
        able = {stage for stage, obstacle in enumerate(blocked) if obstacle is None}
        name = f"r{len(record.rounds) + 1:02d}_probe"
        depths = limits.grow(current.depths, able, rules)
        probe = new_candidate(name, "probe", depths, current.name, config, cost_of)
        return replace(record.adding(probe), rounds=(*record.rounds, Round(current.name, probe.name)))

    def _close_round(self, record: Record, config, cost_of: CostOf) -> Record:
        rules, current = config.growth, record.current
        probe = record[record.open_round.probe] if self.probes else None
        decisions = self.judge(current.depths, current.scores, probe and probe.scores, rules, cost_of)
        depths = limits.grow(current.depths, {stage for stage, d in enumerate(decisions) if d.grows}, rules)
        if depths == current.depths:
            return replace(record.closing_round(decisions, current.name), stop_reason="converged: no stage grows")
        if probe and depths == probe.depths:  # it is trained already
            return record.closing_round(decisions, probe.name)
        name = f"r{len(record.rounds):02d}_grown"
        grown = new_candidate(name, "grown", depths, (probe or current).name, config, cost_of)
        return record.adding(grown).closing_round(decisions, name)


def _standard_errors(number: float) -> str:
    return f"{number:g} standard error{'s' * (number != 1)}"
