"""Which stages grow: the evidence that the scores give, with a margin for noise and within budgets.

The rules differ in the evidence:

  relative_rise, absolute_rise: by how much the score of the whole stage is higher in the probe than in the current
    candidate; the paper's rule.
  lowest_score: by how much the score of the stage, in the current candidate, falls short of the stages' mean. It needs
    no probe.

The rule `elastic` decides otherwise, see `jaxstage.depth_search.choice`; what it shares with the others are the limits.
"""
import itertools
import math
from dataclasses import dataclass
from typing import Callable

import numpy as np

from jaxstage.cost import Cost
from jaxstage.importance.interface import Scores, standard_error


ELASTIC, LOWEST_SCORE = "elastic", "lowest_score"


@dataclass(frozen=True)
class StageDecision:
    """What was decided for one stage, and why.

    Attributes:
      before, before_error, after, after_error: score and standard error in the current candidate and in the probe.
      rise, rise_error: of the score, relative to its value or absolute as the config says.
      grows: the decision.
      why: the reason, for people.

    Under `elastic` there is nothing before and no rise: they are None. Under `lowest_score` there is no probe, so
    nothing after and no rise.
    """

    before: float | None
    before_error: float | None
    after: float | None
    after_error: float | None
    rise: float | None
    rise_error: float | None
    grows: bool
    why: str


def over_budget(cost: Cost, rules) -> str | None:
    """Which budget of `rules` a network would exceed, or None."""
    for unit, value, key in (
        ("parameters", cost.parameters, "max_parameters"),
        ("macs", cost.macs, "max_macs"),
        ("ms", cost.latency_ms, "max_latency_ms"),
    ):
        limit = getattr(rules, key)
        if limit is not None and value > limit:
            return f"{value:,.15g} {unit} would exceed growth.{key}={limit:,.15g}"
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


def deepen(
    start: tuple[int, ...], upper: tuple[int, ...], standing: tuple[int, ...], rules,
    cost_of: Callable[[tuple[int, ...]], Cost],
) -> tuple[int, ...]:  # fmt: skip
    """The upper depths of the next elastic network: rules.step more where the search stands on the last ones.

    A stage goes as far as it fits alone, with all others as at the start.
    """
    found = list(upper)
    for stage, limit in enumerate(depth_limits(len(start), rules)):
        fits = lambda depth: over_budget(cost_of((*start[:stage], depth, *start[stage + 1 :])), rules) is None
        most = min(upper[stage] + rules.step, limit) if standing[stage] == upper[stage] else upper[stage]
        while found[stage] < most and fits(found[stage] + 1):
            found[stage] += 1
    return tuple(found)


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


def rises(before: Scores, after: Scores, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Rise of every stage's score with its standard error, each float64 (stages,).

    Samples of both candidates that come from the same draws and images are subtracted from each other. A relative rise
    divides by the score before, or by its standard error where the score is smaller than that.
    """
    difference = np.array(after.samples) - np.array(before.samples)
    rise, error = difference.mean(axis=0), standard_error(difference)
    if rule == "relative_rise":
        scale = np.maximum(np.abs(before.values), before.errors)
        scale = np.where(scale > 0, scale, 1.0)
        rise, error = rise / scale, error / scale
    return rise, error


def shortfalls(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """How far every stage's score lies below the mean of all, with its standard error, each float64 (stages,).

    The stages of a sample were scored on the same images, so they are subtracted from each other sample by sample.
    """
    samples = np.array(scores.samples)
    difference = samples.mean(axis=1, keepdims=True) - samples
    return difference.mean(axis=0), standard_error(difference)


def weigh(before: Scores, after: Scores | None, rules) -> tuple[np.ndarray, np.ndarray]:
    """The evidence for each stage under a rule, with its standard error, each float64 (stages,)."""
    if rules.rule == LOWEST_SCORE:
        return shortfalls(before)
    return rises(before, after, rules.rule)


def is_clear(before: Scores, after: Scores, rules) -> bool:
    """Whether every stage's evidence is more than rules.stop_probe standard errors away from its threshold.

    The rule by which a probe's training ends early: what is so far away would hardly come out otherwise after more
    epochs. It knows nothing of what these would change in the network itself, so it is off by default.
    """
    evidence, error = weigh(before, after, rules)
    return bool((np.abs(evidence - rules.margin * error) > rules.stop_probe * error).all())


def decide(
    depths: tuple[int, ...], before: Scores, after: Scores | None, rules,
    cost_of: Callable[[tuple[int, ...]], Cost],
) -> tuple[StageDecision, ...]:
    """Grows the stages whose evidence is above its noise, the most of it first.

    Args:
      depths: of the current candidate.
      before, after: scores of the current candidate and of the probe, which `lowest_score` has none of.
      rules: the config's `growth` part.
      cost_of: cost of a network by its depths.
    """
    evidence, error = weigh(before, after, rules)
    lowest = rules.rule == LOWEST_SCORE
    noun = "shortfall" if lowest else "rise"
    blocked = obstacles(depths, rules, cost_of)
    chosen: set[int] = set()
    reasons = {}
    for stage in sorted(range(len(depths)), key=lambda stage: -evidence[stage]):
        if blocked[stage]:
            reasons[stage] = blocked[stage]
        elif not evidence[stage] > 0:
            reasons[stage] = f"no {noun} above 0"
        elif not evidence[stage] > rules.margin * error[stage]:
            reasons[stage] = f"{noun} within {_standard_errors(rules.margin)}"
        elif rules.max_stages is not None and len(chosen) >= rules.max_stages:
            reasons[stage] = f"growth.max_stages={rules.max_stages}, others have a higher {noun}"
        elif excess := over_budget(cost_of(grow(depths, chosen | {stage}, rules)), rules):
            reasons[stage] = f"{excess} beside the stages of higher {noun}"
        else:
            chosen.add(stage)
            reasons[stage] = f"{noun} above {_standard_errors(rules.margin)}"
    with_errors = lambda values, errors: zip(values.tolist(), errors.tolist())
    of = lambda scores: with_errors(scores.values, scores.errors)
    nothing = itertools.repeat((None, None))
    compared = (nothing, nothing) if lowest else (of(after), with_errors(evidence, error))
    numbers = zip(of(before), *compared)
    return tuple(
        StageDecision(*itertools.chain(*pairs), grows=stage in chosen, why=reasons[stage])
        for stage, pairs in enumerate(numbers)
    )


def _standard_errors(number: float) -> str:
    return f"{number:g} standard error{'s' * (number != 1)}"
