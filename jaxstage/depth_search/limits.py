"""How far stages may grow: a step at a time, within the most blocks of each and the budgets of the whole network."""

import math
from collections.abc import Callable

from jaxstage.cost import Cost
from jaxstage.depths import Depths, with_depth

CostOf = Callable[[Depths], Cost]


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


def grow(depths: Depths, stages, rules) -> Depths:
    """`depths` with one growth step at each of `stages`, no stage beyond rules.max_depth."""
    return tuple(
        max(depth, min(depth + rules.step, limit)) if stage in stages else depth
        for stage, (depth, limit) in enumerate(zip(depths, depth_limits(len(depths), rules)))
    )


def beyond(upper: Depths, standing: Depths, rules) -> Depths:
    """`upper` with a growth step more at each stage that stands there, no stage beyond rules.max_depth."""
    return grow(upper, {stage for stage, depth in enumerate(standing) if depth == upper[stage]}, rules)


def deepen(start: Depths, upper: Depths, most: Depths, rules, cost_of: CostOf) -> Depths:
    """The upper depths of the next elastic network: from `upper` towards `most`.

    A stage goes as far as it fits alone, with all others as at the start.
    """
    found = list(upper)
    for stage, limit in enumerate(most):
        fits = lambda depth: over_budget(cost_of(with_depth(start, stage, depth)), rules) is None
        while found[stage] < limit and fits(found[stage] + 1):
            found[stage] += 1
    return tuple(found)


def obstacles(depths: Depths, rules, cost_of: CostOf) -> list[str | None]:
    """For each stage, why not even it alone can grow any more; None if it can."""
    found = []
    for stage, limit in enumerate(depth_limits(len(depths), rules)):
        deeper = grow(depths, {stage}, rules)
        if deeper == depths:
            found.append(f"at growth.max_depth={limit}")
        else:
            found.append(over_budget(cost_of(deeper), rules))
    return found
