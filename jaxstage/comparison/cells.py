"""What a comparison runs: the searches, and then the training runs from scratch that their results lead to."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxstage.comparison import arms
from jaxstage.comparison.costs import has_budget, within
from jaxstage.config import Config, start_depths
from jaxstage.depth_search.limits import depth_limits
from jaxstage.depths import Depths
from jaxstage.report.html.collect import Run
from jaxstage.workdir.record import Candidate

PASSES = 3  # over an image in a step of training: forward, and backward, which takes twice as much


class Setting(NamedTuple):
    """What is compared.

    Attributes:
      config: what all arms share, as it runs.
      arms: their names, in the order of the table.
      seeds: of every arm.
      cost_of: the cost of a network by its depths, see `jaxstage.comparison.costs`.
    """

    config: Config
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    cost_of: Callable

    @property
    def rows(self) -> tuple[str, ...]:
        """All arms: those that were named, then the depths that searches find, from scratch."""
        return (*self.arms, *map(arms.from_scratch, arms.searching(self.arms)))


class Cell(NamedTuple):
    """One run.

    Attributes:
      arm: whose it is.
      task: search or train.
      changes: config keys with their values; every cell has its seed there.
    """

    arm: str
    task: str
    changes: dict[str, Any]

    @property
    def seed(self) -> int:
        return self.changes["seed"]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def folder(self) -> pathlib.PurePath:
        """Below the comparison's directory."""
        return pathlib.PurePath(self.arm.replace(", ", "_").replace(" ", "_"), f"seed{self.seed}")

    def config(self, shared: Config) -> Config:
        """The config that it runs with."""
        config = shared.copy_and_resolve_references()
        config.update_from_flattened_dict({"task": self.task, **self.changes})
        return config


Grid = dict[tuple[str, int], Cell]  # by arm and seed; arms that come to the same share a cell


def searches(setting: Setting) -> Grid:
    """The runs that depend on nothing."""
    return {
        (arm, seed): Cell(arm, "search", {"seed": seed, "growth.rule": arm})
        for seed in setting.seeds
        for arm in arms.searching(setting.arms)
    }


def trainings(setting: Setting, found: dict[tuple[str, int], Run]) -> Grid:
    """The training runs from scratch, each for as many epochs as the first search's total work affords.

    Args:
      setting: what is compared.
      found: the finished searches, by arm and seed, all of them.
    """
    grid, known = {}, {}
    for seed in setting.seeds:
        total = found[arms.searching(setting.arms)[0], seed]
        for arm in setting.rows:
            if arm in arms.searching(setting.arms):
                continue
            depths = depths_of(setting, arm, seed, {a: run for (a, s), run in found.items() if s == seed})
            affords = epochs(setting.config, total, setting.cost_of(depths).macs)
            changes = {"seed": seed, "model.depths": depths, **stretched(setting.config, affords)}
            # The same depths and seed are the same training, to the bit.
            grid[arm, seed] = known.setdefault((seed, depths), Cell(arm, "train", changes))
    return grid


def depths_of(setting: Setting, arm: str, seed: int, found: dict[str, Run]) -> Depths | None:
    """The depths that an arm trains from scratch; None where they depend on a search that is not in `found`, by arm, or
    on latencies that are not measured yet."""
    config, searching = setting.config, arms.searching(setting.arms)
    for search in searching:
        if arm == arms.from_scratch(search):
            return found[search].record.final.depths if search in found else None
    first = found.get(searching[0])
    if not (has_budget(config) or first):
        return None
    if config.growth.max_latency_ms is not None and setting.cost_of(start_depths(config)).latency_ms is None:
        return None
    limits = depth_limits(len(config.model.depths), config.growth)
    fits = within(config, first and first.record.final.macs, setting.cost_of)
    return arms.fixed(arm, limits, seed)(start_depths(config), fits)


def epochs(config: Config, search: Run, macs: int) -> int:
    """How many epochs of a network's training come nearest to the total work of a search, at least one.

    An epoch of the search's own final training tells what an epoch costs a MAC.

    Args:
      config: of the search.
      search: finished.
      macs: of the network, for an image.
    """
    final = search.record.final
    of_an_epoch = spent(search, final=True) / config.final.epochs * macs / final.macs
    return max(1, round((spent(search, final=False) + spent(search, final=True)) / of_an_epoch))


def stretched(config: Config, epochs: int) -> dict[str, Any]:
    """The keys of a final training that lasts for other epochs, its schedule stretched as a whole."""
    final, factor = config.final, epochs / config.final.epochs
    changes = {"final.epochs": epochs, "final.warmup_epochs": final.warmup_epochs * factor}
    if final.drop_epochs:
        changes["final.drop_epochs"] = tuple(epoch * factor for epoch in final.drop_epochs)
    return changes


def spent(run: Run, *, final: bool) -> float:
    """Multiply-accumulates of a run's final training, or of everything before: the search."""
    chosen = [candidate for candidate in run.record.candidates if (candidate.role == "final") == final]
    return sum(sum(work(candidate, run.config["batch_size"]).values()) for candidate in chosen)


def work(candidate: Candidate, batch_size: int) -> dict[str, float]:
    """Multiply-accumulates that a candidate took, by activity; of records that do not have them, those of training."""
    return candidate.work or {"training": float(PASSES * (candidate.steps or 0) * batch_size * candidate.macs)}
