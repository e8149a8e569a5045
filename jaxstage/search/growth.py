"""Which stages grow: the paper's rule, probe against current, with a margin for noise and within budgets."""
import math
from dataclasses import dataclass
from typing import Callable

import numpy as np

from jaxstage.cost import Cost
from jaxstage.importance.interface import Scores, standard_error


@dataclass(frozen=True)
class StageDecision:
    """What was decided for one stage, and why.

    Attributes:
      before, before_error, after, after_error: score and standard error in the current candidate and in the probe.
      rise, rise_error: of the score, relative to its value or absolute as the config says.
      grows: the decision.
      why: the reason, for people.
    """

    before: float
    before_error: float
    after: float
    after_error: float
    rise: float
    rise_error: float
    grows: bool
    why: str


def over_budget(cost: Cost, rules) -> str | None:
    """Which budget of `rules` a network would exceed, or None."""
    for name, value, limit in (
        ("parameters", cost.parameters, rules.max_parameters),
        ("macs", cost.macs, rules.max_macs),
    ):
        if limit is not None and value > limit:
            return f"{value:,} {name} would exceed growth.max_{name}={limit:,}"
    return None


def depth_limits(stages: int, rules) -> tuple[float, ...]:
    """The most blocks that each stage may have."""
    limits = rules.max_depth or (math.inf,)
    return limits if len(limits) == stages else limits * stages


def grow(depths: tuple[int, ...], stages, rules) -> tuple[int, ...]:
    """`depths` with one growth step at each of `stages`, no stage beyond rules.max_depth."""
    return tuple(
        max(depth, min(depth + rules.step, limit)) if stage in stages else depth
        for stage, (depth, limit) in enumerate(zip(depths, depth_limits(len(depths), rules)))
    )


def obstacles(depths: tuple[int, ...], rules, cost_of: Callable[[tuple[int, ...]], Cost]) -> list[str | None]:
    """For each stage, why not even it alone can grow any more; None if it can."""
    found = []
    for stage, limit in enumerate(depth_limits(len(depths), rules)):
        deeper = grow(depths, {stage}, rules)
        if deeper == depths:
            found.append(f"at growth.max_depth={limit}")
        else:
            found.append(over_budget(cost_of(deeper), rules))
    return found


def rises(before: Scores, after: Scores, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Rise of every stage's score with its standard error, each float64 (stages,).

    The repetitions of both candidates used the same draws, so they are subtracted in pairs. A relative rise divides by
    the score before, or by its standard error where the score is smaller than that.
    """
    difference = np.array(after.samples) - np.array(before.samples)
    rise, error = difference.mean(axis=0), standard_error(difference)
    if kind == "relative":
        scale = np.maximum(np.abs(before.values), before.errors)
        scale = np.where(scale > 0, scale, 1.0)
        rise, error = rise / scale, error / scale
    return rise, error


def decide(
    depths: tuple[int, ...], before: Scores, after: Scores, rules, cost_of: Callable[[tuple[int, ...]], Cost]
) -> tuple[StageDecision, ...]:
    """Grows the stages whose score is higher in the probe by more than its noise, the highest rise first.

    Args:
      depths: of the current candidate.
      before, after: scores of the current candidate and of the probe.
      rules: the config's `growth` part.
      cost_of: cost of a network by its depths.
    """
    rise, error = rises(before, after, rules.rise)
    blocked = obstacles(depths, rules, cost_of)
    chosen: set[int] = set()
    reasons = {}
    for stage in sorted(range(len(depths)), key=lambda stage: -rise[stage]):
        threshold = rules.margin * error[stage]
        if blocked[stage]:
            reasons[stage] = blocked[stage]
        elif not rise[stage] > threshold:
            within = "did not rise" if rise[stage] <= 0 else f"rise within {rules.margin:g} standard errors"
            reasons[stage] = within
        elif rules.max_stages is not None and len(chosen) >= rules.max_stages:
            reasons[stage] = f"growth.max_stages={rules.max_stages} rose more"
        elif excess := over_budget(cost_of(grow(depths, chosen | {stage}, rules)), rules):
            reasons[stage] = f"{excess} beside the stages that rose more"
        else:
            chosen.add(stage)
            reasons[stage] = f"rise above {rules.margin:g} standard errors"
    return tuple(
        StageDecision(*map(float, numbers), grows=stage in chosen, why=reasons[stage])
        for stage, numbers in enumerate(zip(before.values, before.errors, after.values, after.errors, rise, error))
    )
