"""Depths tuples: how many blocks each stage has."""

import itertools
from collections.abc import Iterator

Depths = tuple[int, ...]


def with_depth(depths: Depths, stage: int, depth: int) -> Depths:
    """The same with another depth of one stage.

    Example:
      with_depth((1, 1, 1), 2, 5)  # (1, 1, 5)
    """
    return (*depths[:stage], depth, *depths[stage + 1 :])


def deeper(depths: Depths, stage: int) -> Depths:
    """The same with a block more in one stage.

    Example:
      deeper((1, 1, 1), 0)  # (2, 1, 1)
    """
    return with_depth(depths, stage, depths[stage] + 1)


def between(lower: Depths, upper: Depths) -> Iterator[Depths]:
    """All depths from the lower to the upper ones, ascending.

    Example:
      list(between((1, 1), (1, 2)))  # [(1, 1), (1, 2)]
    """
    return itertools.product(*(range(low, high + 1) for low, high in zip(lower, upper)))
