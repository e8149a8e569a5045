"""The arms of a comparison: searches, and fixed rules that choose depths without looking at an image.

An arm that searches is called as its `growth.rule`. A fixed rule is a pure function `(start, fits) -> depths`: it
begins with the depths `start` and adds blocks, one at a time, for as long as `fits(depths)` says that they are within
budget and limits. `fits` must be monotone: what is deeper than something that does not fit does not fit either. Where
`start` does not fit, it is the answer.
"""

import difflib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from jaxstage import plugins
from jaxstage.config import RULES
from jaxstage.depths import Depths, deeper, with_depth
from jaxstage.errors import UserError

Fits = Callable[[Depths], bool]

SEARCH, BEST_RULE = "search", "elastic"
BESIDE = ("uniform", "random", "last", "deepest")  # what a search is compared with if nothing else is said
MOST = 100_000  # of the depths that `maximal` goes through: some ten seconds


def uniform(start: Depths, fits: Fits, limits: Sequence[float] = ()) -> Depths:
    """All stages equally deep, as deep as it fits; of the next level, the stages from the first on as far as it fits.

    Example:
      uniform((1, 1, 1), lambda depths: sum(depths) <= 7)  # (3, 2, 2)

    Args:
      start, fits: see the top; a stage that starts deeper waits for the others.
      limits: the most blocks of each stage, (): any number. A stage at its limit stays behind.
    """
    limits = limits or (math.inf,) * len(start)
    level = lambda depth: tuple(max(own, min(depth, limit)) for own, limit in zip(start, limits))
    depths, depth = start, min(start) + 1
    while depth <= max(limits) and fits(level(depth)):
        depths, depth = level(depth), depth + 1
    for stage, risen_to in enumerate(level(depth)):
        risen = with_depth(depths, stage, risen_to)
        if fits(risen):
            depths = risen
    return depths


def random(start: Depths, fits: Fits, seed: int = 0) -> Depths:
    """One of `maximal`, all alike, drawn by the seed.

    Example:
      random((1, 1), lambda depths: sum(depths) <= 4, seed=1)  # (1, 3), (2, 2) or (3, 1)
    """
    choices = maximal(start, fits)
    return choices[np.random.default_rng(seed).integers(len(choices))]


def last(start: Depths, fits: Fits) -> Depths:
    """The last stage first, as deep as it fits, then the one before it.

    Example:
      last((1, 1), lambda depths: sum(depths) <= 4)  # (1, 3)
    """
    return _filled(start, reversed(range(len(start))), fits)


def first(start: Depths, fits: Fits) -> Depths:
    """The first stage first, as deep as it fits, then the one after it.

    Example:
      first((1, 1), lambda depths: sum(depths) <= 4)  # (3, 1)
    """
    return _filled(start, range(len(start)), fits)


def shallowest(start: Depths, fits: Fits) -> Depths:
    """Block by block the shallowest stage for which it fits; of equally deep ones the last.

    Example:
      shallowest((1, 1), lambda depths: sum(depths) <= 5)  # (2, 3)
    """
    depths = start
    while able := [stage for stage in range(len(depths)) if fits(deeper(depths, stage))]:
        depths = deeper(depths, min(able, key=lambda stage: (depths[stage], -stage)))
    return depths


def deepest(start: Depths, fits: Fits) -> Depths:
    """The most blocks in all; of as many the most even depths, of as even ones those with the later stages deeper.

    Example:
      deepest((1, 1), lambda depths: depths[0] + 3 * depths[1] <= 8)  # (5, 1)
    """
    return max(maximal(start, fits), key=lambda depths: (sum(depths), -sum(depth**2 for depth in depths)))


FIXED = {rule.__name__: rule for rule in (uniform, random, last, first, shallowest, deepest)}


def fixed(name: str, limits: Sequence[float], seed: int) -> Callable[[Depths, Fits], Depths]:
    """The fixed rule of that name, with the limits and the seed that some of them need."""
    bound = {"uniform": partial(uniform, limits=limits), "random": partial(random, seed=seed)}
    return bound.get(name, FIXED[name])


def maximal(start: Depths, fits: Fits) -> list[Depths]:
    """All depths from `start` on that fit and in which no stage can get a block more, ascending.

    Example:
      maximal((1, 1), lambda depths: sum(depths) <= 4)  # [(1, 3), (2, 2), (3, 1)]

    Raises:
      UserError: too many depths fit to go through them.
    """
    if not fits(start):
        return [start]
    found = list(itertools.islice(_full_at_last(start, fits, 0), MOST))
    if len(found) == MOST:
        raise UserError(
            f"more than {MOST:,} depths are within the budget, too many for the arms random and deepest: set "
            "config.growth.max_depth or leave these arms out"
        )
    others = range(len(start) - 1)
    return [depths for depths in found if not any(fits(deeper(depths, stage)) for stage in others)]


def chosen(given: str | None, rule: str) -> tuple[str, ...]:
    """The arms that --arms names; without it those that come along.

    Example:
      chosen("search,last", "lowest_score")  # ('lowest_score', 'last')

    Args:
      given: names with commas between; `search` stands for the config's own rule.
      rule: the config's own.

    Raises:
      UserError: one is unknown or comes twice, there are fewer than two, or none of them searches.
    """
    if given is None:
        return (BEST_RULE if BEST_RULE in RULES else rule, *BESIDE)
    known = (*RULES, *FIXED)
    arms = tuple(rule if name == SEARCH else name for name in (part.strip() for part in given.split(",")))
    for arm in arms:
        if arm not in known and not plugins.is_own(arm):
            close = difflib.get_close_matches(arm, known, n=1, cutoff=0.5)
            remedy = f"did you mean {close[0]}?" if close else f"choose among {SEARCH}, {', '.join(known)}"
            raise UserError(f"--arms={given}: there is no arm {arm!r}: {remedy}")
    if again := [arm for arm in arms if arms.count(arm) > 1]:
        raise UserError(f"--arms={given}: {again[0]} is there twice: name each arm once")
    if len(arms) < 2:
        raise UserError(f"--arms={given}: one arm is no comparison: name at least two, like {arms[0]},uniform")
    if not searching(arms):
        raise UserError(f"--arms={given}: none of them searches: add {SEARCH}, or one of {', '.join(RULES)}")
    return arms


def searching(arms: Iterable[str]) -> tuple[str, ...]:
    """Those of the arms that search."""
    return tuple(arm for arm in arms if arm in RULES or plugins.is_own(arm))


def from_scratch(arm: str) -> str:
    """The name of the arm that trains from scratch what a searching one found."""
    return f"{arm}, from scratch"


def _filled(depths: Depths, stages: Iterable[int], fits: Fits) -> Depths:
    for stage in stages:
        while fits(more := deeper(depths, stage)):
            depths = more
    return depths


def _full_at_last(depths: Depths, fits: Fits, stage: int) -> Iterator[Depths]:
    """All that fit and are deeper at the stages from `stage` on, the last stage as deep as it fits."""
    if stage == len(depths) - 1:
        yield _filled(depths, [stage], fits)
        return
    while fits(depths):
        yield from _full_at_last(depths, fits, stage + 1)
        depths = deeper(depths, stage)
