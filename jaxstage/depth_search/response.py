"""How the loss falls with the depth of each stage, fitted to what was read of many states (DESIGN.md, section 3.2).

    L(k) = c - sum_i sum_{l_i < j <= k_i} g_ij + d_k,    g_ij >= 0,    g_i1 >= g_i2 >= ...

k are depths between the lower ones l and the upper ones; g_ij is what the j-th block of stage i gains. That gains add
up over the stages and never grow with depth is what published tables show (R2 0.86 to 0.99), and it takes most of the
noise out of single readings. What the readings say beyond it, d_k, counts as far as their noise does not explain it.
"""

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxstage.depths import Depths, between

TIE = 1e-9  # of losses: sums of the same gains in another order differ by less
SURE = 2.0  # standard errors by which misfit has to exceed what noise alone would leave


class Response(NamedTuple):
    """A fitted response.

    Attributes:
      lower: depths with nothing added.
      level: loss there, by the gains alone.
      gains: for each stage what its first added block gains, its second, ...; in the unit of the loss.
      beyond: d_k of the states that were read.
    """

    lower: Depths
    level: float
    gains: tuple[tuple[float, ...], ...]
    beyond: Mapping[Depths, float] = {}

    @property
    def upper(self) -> Depths:
        return tuple(low + len(gained) for low, gained in zip(self.lower, self.gains))

    def loss(self, depths: Depths) -> float:
        """At depths between `lower` and `upper`."""
        gained = (sum(gains[: depth - low]) for low, depth, gains in zip(self.lower, depths, self.gains))
        return self.level - sum(gained) + self.beyond.get(depths, 0.0)


def fit(states: Sequence[Depths], losses: Sequence[float], errors: Sequence[float] | None = None) -> Response:
    """The response that fits readings best: weighted least squares for the gains, empirical Bayes for the rest.

    With s_k the errors and t^2 the variance of the d_k, d_k is the residual times t^2 / (t^2 + s_k^2). t^2 is what the
    residuals' variance has over that of the errors and SURE standard errors of it (method of moments; Efron and Morris,
    JASA 1975), so it is 0 where noise may be all that is left.

    Example:
      fit([(1, 1), (2, 1), (1, 2), (2, 2)], [2.0, 1.5, 1.8, 1.3]).gains  # ((0.5,), (0.2,))

    Args:
      states: depths that were read, among them the lowest and the highest of every stage.
      losses: of these.
      errors: standard errors of the losses, all above 0; None: all the same and unknown, so that every d_k is 0.
    """
    from scipy.optimize import lsq_linear

    depths, values = np.array(states), np.array(losses, np.float64)
    lower, upper = depths.min(axis=0), depths.max(axis=0)
    # A concave gain is a sum of ramps with weights that are not negative: min(added blocks, m) for m = 1, 2, ...
    ramps = [(stage, top) for stage, most in enumerate(upper - lower) for top in range(1, most + 1)]
    columns = [-np.minimum(depths[:, stage] - lower[stage], top) for stage, top in ramps]
    matrix = np.stack([np.ones(len(values)), *columns], axis=1)
    noise = np.array(errors, np.float64) if errors is not None else np.ones(len(values))
    bounds = ([-np.inf] + [0.0] * len(ramps), np.inf)
    found = lsq_linear(matrix / noise[:, None], values / noise, bounds, method="bvls").x
    slopes = dict(zip(ramps, found[1:]))
    gains = (
        tuple(float(sum(slopes[stage, top] for top in range(block, most + 1))) for block in range(1, most + 1))
        for stage, most in enumerate(upper - lower)
    )
    beyond = {}
    if errors is not None:
        kept = _beyond(values - matrix @ found, noise, free=1 + np.count_nonzero(found[1:] > TIE))
        beyond = {tuple(map(int, state)): float(value) for state, value in zip(depths, kept)}
    return Response(tuple(map(int, lower)), float(found[0]), tuple(gains), beyond)


def _beyond(residuals: np.ndarray, noise: np.ndarray, free: int) -> np.ndarray:
    """d_k of residuals with their errors; `free` parameters were fitted."""
    left = len(residuals) - free
    if left < 1:
        return np.zeros_like(residuals)
    by_noise = np.mean(noise**2) * (1 + SURE * np.sqrt(2 / left))
    variance = max(0.0, np.sum(residuals**2) / left - by_noise)
    return variance / (variance + noise**2) * residuals


class Point(NamedTuple):
    """A point of a frontier: no depths of at most this cost have a lower fitted loss."""

    cost: float
    depths: Depths
    loss: float


def frontier(
    response: Response, cost_of: Callable[[Depths], float], states: Sequence[Depths] | None = None
) -> list[Point]:
    """The depths that no others beat at their cost, the cheapest first.

    Exact: it looks at all, which are few (243 for five stages of three depths each).

    Args:
      response: fitted.
      cost_of: depths -> what they cost.
      states: the depths in question; None: all between lower and upper.
    """
    points = []
    among = between(response.lower, response.upper) if states is None else states
    for cost, loss, depths in sorted((cost_of(depths), response.loss(depths), depths) for depths in among):
        if not points or loss < points[-1].loss - TIE:
            points.append(Point(cost, depths, loss))
    return points


def choose(points: Sequence[Point], budget: float) -> Depths | None:
    """The depths of the lowest fitted loss within a budget; None if nothing fits.

    Args:
      points: a frontier.
      budget: the most that the depths may cost.
    """
    place = bisect.bisect_right([point.cost for point in points], budget)
    return points[place - 1].depths if place else None
