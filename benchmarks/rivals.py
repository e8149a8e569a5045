"""Networks to compare a found one with: grown without looking, up to the same MACs or the same number of parameters.

Each way to grow is a path: depths that grow from the search's start by one growth step at a time. Of a path the depths
whose cost is nearest to the found network's, by ratio, are compared, whether above or below; what they cost stands
beside them. No stage grows beyond a limit, so a path that adds few parameters a block can end short of its target.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np

from jaxstage.cost import Cost
from jaxstage.depths import Depths

BUDGETS = ("macs", "parameters")
RESNETS = {"ResNet-20": 3, "ResNet-32": 5, "ResNet-44": 7, "ResNet-56": 9, "ResNet-110": 18}  # blocks in each stage


def paths(start: Depths, step: int, deepest: int, seed: int) -> dict[str, list[Depths]]:
    """All ways to grow, by name.

    uniform: the stages grow in turn, first to last, so depths differ by one step at most.
    random: the stage that grows is drawn anew each time, all alike.
    stage N alone: the others keep their depth.

    Args:
      start: depths that all paths begin with.
      step: blocks added to a stage at once.
      deepest: limit of a stage's depth.
      seed: of the random path.
    """
    stages, random = len(start), np.random.default_rng(seed)
    turns = lambda: (number % stages for number in range(stages * deepest))
    draws = lambda: random.integers(stages, size=100 * stages * deepest).tolist()
    alone = {f"stage {stage + 1} alone": [stage] * deepest for stage in range(stages)}
    orders = {"uniform": turns(), "random": draws(), **alone}
    return {name: _grown(start, step, deepest, order) for name, order in orders.items()}


def _grown(depths: Depths, step: int, deepest: int, order: Iterable[int]) -> list[Depths]:
    path = [depths]
    for stage in order:
        if path[-1][stage] + step <= deepest:
            path.append(tuple(depth + step * (number == stage) for number, depth in enumerate(path[-1])))
    return path


def nearest(path: list[Depths], target: Cost, budget: str, cost_of: Callable[[Depths], Cost]) -> Depths:
    """The depths on a path whose cost is nearest to `target`, the smaller ones of two that are as near.

    Args:
      budget: which cost, a field's name: macs or parameters.
    """
    return min(path, key=lambda depths: abs(math.log(getattr(cost_of(depths), budget) / getattr(target, budget))))


def additive_cost(start: Depths, count: Callable[[Depths], Cost]) -> Callable[[Depths], Cost]:
    """The cost of any depths from `start` on, by stages + 1 counts: blocks after a stage's first all cost the same."""
    counted = lambda depths: np.array([*count(depths).known().values()])
    base = counted(start)
    deeper = [tuple(depth + (number == stage) for number, depth in enumerate(start)) for stage in range(len(start))]
    block = np.array([counted(depths) for depths in deeper]) - base
    return lambda depths: Cost(*(base + (np.array(depths) - np.array(start)) @ block).tolist())
