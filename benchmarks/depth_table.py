"""What a table of networks that somebody has trained at every depth says about a search; pure arithmetic.

Accuracies are in percent. A gain is in points of accuracy per million added MACs.
"""

import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxstage.depths import Depths, deeper

Path = tuple[Depths, ...]

RULES: dict[str, Callable[[Depths, int], int]] = {  # what a stage's evidence is, by depths alone
    "shallowest stage": lambda depths, stage: -depths[stage],
    "first stage": lambda depths, stage: -stage,
    "last stage": lambda depths, stage: stage,
}
RESAMPLES = 10_000


class Entry(NamedTuple):
    """A trained network.

    Attributes:
      accuracy: mean of its seeds, on the test split.
      macs: for one image.
    """

    accuracy: float
    macs: int


def load(path: pathlib.Path) -> dict[Depths, Entry]:
    """The table of a file {"1,1,2": {"test_accuracy": [...], "macs": ...}, ...}."""
    entries = json.loads(path.read_text())
    mean = lambda values: sum(values) / len(values)
    return {
        tuple(map(int, name.split(","))): Entry(mean(entry["test_accuracy"]), entry["macs"])
        for name, entry in entries.items()
    }


def limits(table: dict[Depths, Entry]) -> Depths:
    """The most blocks of each stage."""
    return tuple(map(max, zip(*table)))


def regret(table: dict[Depths, Entry], depths: Depths) -> float:
    """Points of accuracy to the best network of at most the same MACs; 0 for that one itself."""
    return max(entry.accuracy for entry in _affordable(table, depths).values()) - table[depths].accuracy


def rank(table: dict[Depths, Entry], depths: Depths) -> int:
    """Place by accuracy among all networks of the table, 1 for the best."""
    return 1 + sum(entry.accuracy > table[depths].accuracy for entry in table.values())


def rank_at_cost(table: dict[Depths, Entry], depths: Depths) -> tuple[int, int]:
    """(place by accuracy among the networks of at most the same MACs, how many these are)."""
    affordable = _affordable(table, depths)
    return rank(affordable, depths), len(affordable)


def gains(table: dict[Depths, Entry], depths: Depths) -> dict[int, float]:
    """By stage, the gain of one more block there; stages that the table has no deeper network for are left out."""
    found = {}
    for stage in range(len(depths)):
        if (more := deeper(depths, stage)) in table:
            added = (table[more].macs - table[depths].macs) / 1e6
            found[stage] = (table[more].accuracy - table[depths].accuracy) / added
    return found


def greedy_path(table: dict[Depths, Entry], start: Depths, steps: int) -> Path:
    """The path of the best gain in each step: what a search with perfect knowledge of the next step does."""
    return _follow(start, steps, lambda depths: max(found, key=found.get) if (found := gains(table, depths)) else None)


def uniform_path(table: dict[Depths, Entry], start: Depths, steps: int) -> Path:
    """The path that deepens the shallowest stage in each step, the first of equals."""
    return _follow(start, steps, lambda depths: min(gains(table, depths), key=lambda s: depths[s], default=None))


def random_paths(table: dict[Depths, Entry], start: Depths, steps: int) -> dict[Path, float]:
    """Every path of `steps` blocks with its probability when each step is drawn evenly from the stages that can grow."""
    paths = {(start,): 1.0}
    for _ in range(steps):
        longer = {}
        for path, probability in paths.items():
            stages = gains(table, path[-1])
            for stage in stages:
                longer[(*path, deeper(path[-1], stage))] = probability / len(stages)
            if not stages:
                longer[path] = probability
        paths = longer
    return paths


def against_chance(table: dict[Depths, Entry], evidence: Callable[[Depths, int], float], seed: int = 0) -> dict:
    """How well a rule that looks at depths alone picks the stage to grow, over every network that has a choice.

    Args:
      evidence: of (depths, stage); the stage of the highest is picked, ties are a draw between them.
      seed: of the shuffling.

    Returns:
      choices: how many networks; top1: share in which it picks the best; chance: that of a random pick; over_random:
        its
      gain over that of a random stage, mean; p: how likely that comes up where gains are shuffled within each network.
    """
    nodes = [(depths, found) for depths in table if len(found := gains(table, depths)) > 1]
    picks, centred = [], []
    for depths, found in nodes:
        values = np.array([evidence(depths, stage) for stage in found], np.float64)
        picks.append((values == values.max()) / np.sum(values == values.max()))
        centred.append(np.array(list(found.values())) - np.mean(list(found.values())))
    mean = lambda shuffle: np.mean([pick @ shuffle(gain) for pick, gain in zip(picks, centred)])
    random, real = np.random.default_rng(seed), mean(lambda gain: gain)
    at_least = sum(mean(random.permutation) >= real - 1e-12 for _ in range(RESAMPLES))
    return {
        "choices": len(nodes),
        "top1": float(np.mean([pick[gain.argmax()] for pick, gain in zip(picks, centred)])),
        "chance": float(np.mean([1 / len(pick) for pick in picks])),
        "over_random": float(real),
        "p": float((1 + at_least) / (1 + RESAMPLES)),
    }


def judge(table: dict[Depths, Entry], path: Path) -> dict:
    """What the table says of the networks that a search stood on, one after the other; plain data.

    Returns:
      depths, accuracy, macs, regret, rank (of all), rank_at_cost (of how many): of the last network.
      mean_regret: over the networks after the start.
      decisions: for each step, the stage (from 0) that was picked, the best one and the gains they have.
      agreement: share of the steps with more than one stage to choose from in which the picked one is the best.
    """
    decisions = [_decision(table, *step) for step in zip(path, path[1:])]
    choices = [decision for decision in decisions if len(decision["gains"]) > 1]
    place, others = rank_at_cost(table, path[-1])
    regrets = [regret(table, depths) for depths in path[1:]]
    return {
        "depths": list(path[-1]),
        "accuracy": table[path[-1]].accuracy,
        "macs": table[path[-1]].macs,
        "regret": regret(table, path[-1]),
        "mean_regret": sum(regrets) / len(regrets) if regrets else 0.0,
        "rank": rank(table, path[-1]),
        "of": len(table),
        "rank_at_cost": place,
        "of_at_cost": others,
        "agreement": sum(d["picked"] == d["best"] for d in choices) / len(choices) if choices else None,
        "decisions": decisions,
    }


def _decision(table: dict[Depths, Entry], before: Depths, after: Depths) -> dict:
    picked = next((stage for stage, (old, new) in enumerate(zip(before, after)) if new > old), None)
    found = gains(table, before)
    return {
        "depths": list(before),
        "picked": picked,  # None: the search grew nothing and ended
        "best": max(found, key=found.get, default=None),
        "gains": {str(stage): gain for stage, gain in found.items()},
    }


def _affordable(table: dict[Depths, Entry], depths: Depths) -> dict[Depths, Entry]:
    return {other: entry for other, entry in table.items() if entry.macs <= table[depths].macs}


def _follow(start: Depths, steps: int, choose) -> Path:
    path = [start]
    for _ in range(steps):
        if (stage := choose(path[-1])) is not None:
            path.append(deeper(path[-1], stage))
    return tuple(path)
