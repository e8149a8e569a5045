"""From the reading of an elastic network to the depths that are worth their cost (DESIGN.md, section 3.2).

With a budget, growth.max_macs, max_parameters or max_latency_ms: the tuple of the lowest fitted loss within it. Without
one, along the fitted frontier, from the cheapest depths on, as long as going on gains

    more than growth.margin standard errors of that gain, and
    at least growth.least_gain nats for each doubling of the cost.

With growth.within, in both cases, the cheapest depths whose fitted loss is at most so many standard errors above the
lowest, that of the difference (as the one-standard-error rule; Breiman et al., Classification and Regression Trees, 1984).
"""

import math
from collections.abc import Sequence

import numpy as np

from jaxstage.cost import Cost
from jaxstage.depth_search.limits import CostOf, over_budget
from jaxstage.depth_search.reading import Reading
from jaxstage.depth_search.response import Point, Response, fit, frontier
from jaxstage.depths import Depths, between, with_depth
from jaxstage.workdir.findings import Findings, Fitted, State

RESAMPLES = 100  # of the images, for the errors of what was fitted
LEAST_ERROR = 1e-6  # nats; where all states read the same
MOST_READ = 48  # states; a fit gains little from more
COSTS = ("macs", "parameters", "latency_ms")


def states_within(lower: Depths, upper: Depths, rules, cost_of: CostOf) -> tuple[Depths, ...]:
    """The states of an elastic network that no budget of `rules` forbids; the lowest is always among them."""
    return tuple(
        depths for depths in between(lower, upper) if depths == lower or over_budget(cost_of(depths), rules) is None
    )


def states_to_read(states: Sequence[Depths], seed: int) -> tuple[Depths, ...]:
    """All of them, or where there are many the lowest, each stage alone at its deepest, and others by lot.

    Args:
      states: that may be chosen, among them each stage alone at its deepest.
      seed: of the lot.
    """
    if len(states) <= MOST_READ:
        return tuple(states)
    lower, upper = (tuple(map(end, zip(*states))) for end in (min, max))
    kept = [lower] + [with_depth(lower, stage, top) for stage, top in enumerate(upper)]
    others = [state for state in states if state not in kept]
    drawn = np.random.default_rng(seed).permutation(len(others))[: MOST_READ - len(kept)]
    return tuple(sorted({*kept, *(others[number] for number in drawn)}))


def judge(reading: Reading, states: Sequence[Depths], rules, cost_of: CostOf, seed: int) -> Findings:
    """Fits the response and chooses.

    Args:
      reading: of the elastic network.
      states: all that may be chosen, also those that were not read.
      rules: the config's `growth` part.
      cost_of: cost of a network by its depths.
      seed: of the resampling.
    """
    errors = np.maximum(reading.errors(), LEAST_ERROR)
    response = fit(reading.states, reading.losses.mean(axis=1), errors)
    again = _resampled(reading, errors, seed)
    costs = {depths: cost_of(depths) for depths in states}
    read = {depths: number for number, depths in enumerate(reading.states)}
    loss, accuracy = reading.losses.mean(axis=1), reading.correct.mean(axis=1)
    fronts = {cost: frontier(response, lambda depths: getattr(costs[depths], cost), states) for cost in _known(costs)}
    chosen, why = _choose(fronts, again, rules)
    found, found_errors = reading.importance()
    point = lambda p: {
        "depths": p.depths,
        "cost": p.cost,
        "loss": p.loss,
        "accuracy": float(accuracy[read[p.depths]]) if p.depths in read else None,
    }
    return Findings(
        states=tuple(
            State(
                depths,
                float(loss[n]),
                float(errors[n]),
                float(accuracy[n]),
                response.loss(depths),
                costs[depths].parameters,
                costs[depths].macs,
                costs[depths].latency_ms,
            )
            for depths, n in read.items()
        ),
        response=Fitted(response.lower, response.level, response.gains, _gain_errors(again)),
        importance=tuple(found.tolist()),
        importance_errors=tuple(found_errors.tolist()),
        frontier={cost: tuple(map(point, points)) for cost, points in fronts.items()},
        chosen=chosen,
        why=why,
    )


def _resampled(reading: Reading, errors: np.ndarray, seed: int) -> list[Response]:
    """Responses to as many images drawn with replacement (Efron, Annals of Statistics 1979)."""
    random, images = np.random.default_rng(seed), reading.losses.shape[1]
    draws = (reading.losses[:, random.integers(images, size=images)] for _ in range(RESAMPLES))
    return [fit(reading.states, drawn.mean(axis=1), errors) for drawn in draws]


def _gain_errors(again: Sequence[Response]) -> tuple[tuple[float, ...], ...]:
    stages = zip(*(response.gains for response in again))
    return tuple(tuple(np.std(gains, axis=0, ddof=1).tolist()) for gains in stages)


def _known(costs: dict[Depths, Cost]) -> list[str]:
    some = next(iter(costs.values()))
    return [cost for cost in COSTS if getattr(some, cost) is not None]


def _choose(fronts: dict[str, list[Point]], again: Sequence[Response], rules) -> tuple[Depths, str]:
    axis = "latency_ms" if "latency_ms" in fronts else "macs"
    budgets = {f"max_{cost}": limit for cost in COSTS if (limit := rules.get(f"max_{cost}")) is not None}
    if rules.within is not None:
        within = f"least {axis} within {rules.within:g} standard errors of the lowest fitted loss"
        return _cheapest(fronts[axis], again, rules.within), within
    if budgets:
        limits = " and ".join(f"growth.{key}={limit:,}" for key, limit in budgets.items())
        return fronts[axis][-1].depths, f"lowest fitted loss within {limits}"
    return _along(fronts[axis], again, rules), f"along the frontier of loss against {axis} while it pays"


def _along(points: Sequence[Point], again: Sequence[Response], rules) -> Depths:
    standing = points[0]
    for point in points[1:]:
        gain, doublings = standing.loss - point.loss, math.log2(point.cost / standing.cost)
        if gain > rules.margin * _error(standing, point, again) and gain >= rules.least_gain * doublings:
            standing = point
    return standing.depths


def _cheapest(points: Sequence[Point], again: Sequence[Response], within: float) -> Depths:
    best = points[-1]
    return next(p.depths for p in points if p.loss - best.loss <= within * _error(p, best, again))


def _error(one: Point, other: Point, again: Sequence[Response]) -> float:
    """The standard error of the difference of two fitted losses."""
    return float(np.std([each.loss(one.depths) - each.loss(other.depths) for each in again], ddof=1))
