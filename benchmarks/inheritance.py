"""Which inheritance wins, at which learning rate and after how many epochs: one path of growth, walked in many ways.

    python benchmarks/inheritance.py --preset=tiny     # 2 CPU cores and a C++ compiler, about 10 minutes
    python benchmarks/inheritance.py --preset=gpu      # one GPU; not measured yet
    python benchmarks/inheritance.py --preset=full     # the published scale

All stages grow by one step in each of two rounds, whatever is measured, so every way trains the same networks with the
same data and seeds; then comes the final training. While growing, the rate is constant or annealed (cosine) within each
candidate. All spend equally many image passes times MACs on growth and final training together, in whole epochs: where
candidates are trained for fewer epochs the final training has more. `one training run` has no growth at all, only
the last depths from scratch.

The command goes on where it was killed; what it leaves is benchmarks/results/inheritance/<preset>.json.
"""

import pathlib
from typing import NamedTuple

import grid
import runs
import summary
from passes import cost

from jaxstage.devices.cpu.host_memory import use_huge_pages

METHODS = ("identity", "gauss", "copy", "scratch")
SCHEDULES = ("constant", "cosine")
PATH = {"importance.method": "uniform", "growth.rule": "relative_rise", "growth.step": 1, "growth.max_rounds": 2}


class Way(NamedTuple):
    """One way to the last depths: how they inherit, the learning rate while growing, and the epochs of each candidate.

    Without a method and a schedule it is one training run of these depths.
    """

    method: str | None
    schedule: str | None
    epochs: int

    @property
    def folder(self) -> str:
        return "-".join([self.method, self.schedule, f"{self.epochs}-epochs"] if self.method else ["one-training"])


class Preset(NamedTuple):
    """A config (FILE[:PRESET]), what is changed in it, other epochs a candidate, how many seeds, processes side by side."""

    config: str
    changes: dict
    epochs: tuple[int, ...]
    seeds: int
    jobs: int


PRESETS = {
    "toy": Preset(
        "configs/digits.py",
        {
            "data.examples": 200,
            "model.widths": (4, 8),
            "model.depths": (1, 1),
            "candidate.epochs": 1,
            "final.epochs": 1,
            "importance.examples": 32,
        },
        epochs=(),
        seeds=1,
        jobs=1,
    ),
    "tiny": Preset(
        "configs/cifar10.py:smoke",
        {
            "data.examples": 2_000,
            "data.validation": 1 / 5,
            "batch_size": 32,
            "model.widths": (4, 8, 16),
            "candidate.epochs": 3,
            "final.epochs": 8,
            "convolutions": "native",
        },
        epochs=(1, 2, 5),
        seeds=3,
        jobs=2,
    ),
    "gpu": Preset(
        "configs/cifar10.py:fast", {"candidate.epochs": 3, "final.epochs": 15}, epochs=(1, 6), seeds=3, jobs=1
    ),
    "full": Preset("configs/cifar10.py:full", {"candidate.epochs": 20}, epochs=(5, 10, 40), seeds=5, jobs=1),
}


def main():
    given = runs.arguments(__doc__, "inheritance", PRESETS)
    settings, results = compare(PRESETS[given.preset], given.root, given.jobs)
    summary.write(summary.path("inheritance", given.preset), given.preset, settings, results)


def compare(preset: Preset, root: pathlib.Path, jobs: int) -> tuple[dict, list[dict]]:
    """Runs what is not finished; returns settings and one row for each way."""
    facts = runs.Facts(preset.config, {**preset.changes, **PATH})
    ways = _ways(preset, facts.config.candidate.epochs)
    changes = {way: _changes(facts, way) for way in ways}
    cell = lambda way, seed: grid.Cell(
        f"{way.folder}/seed{seed}", runs.measure, (preset.config, {**preset.changes, **changes[way], "seed": seed})
    )
    results = grid.run([cell(way, seed) for seed in range(preset.seeds) for way in ways], root, jobs)
    of = lambda way: [results[f"{way.folder}/seed{seed}"] for seed in range(preset.seeds)]
    ends = {tuple(result["depths"]) for result in results.values()}
    if len(ends) > 1:
        raise RuntimeError(f"not all ways led to the same depths: {sorted(ends)}; what they did is below {root}")
    rows = [_row(preset, way, changes[way], of(way), of(ways[0])) for way in ways]
    return {"seeds": preset.seeds, **facts.settings()}, rows


def _ways(preset: Preset, epochs: int) -> list[Way]:
    """All that are compared; the first is the one that the others are compared with."""
    inheritances = [Way(method, schedule, epochs) for schedule in SCHEDULES for method in METHODS]
    return inheritances + [Way(METHODS[0], SCHEDULES[0], other) for other in preset.epochs] + [Way(None, None, 0)]


def _changes(facts: runs.Facts, way: Way) -> dict:
    """What a way changes in the preset's config, so that it costs as much as the config itself."""
    config = facts.config
    deeper = lambda rounds: tuple(depth + config.growth.step * rounds for depth in facts.start)
    path = [deeper(rounds) for rounds in range(PATH["growth.max_rounds"] + 1)]
    macs = [facts.cost_of(depths).macs for depths in path]
    final = config.final.epochs + (config.candidate.epochs - way.epochs) * sum(macs) / macs[-1]
    if not way.method:
        return {"task": "train", "model.depths": path[-1], "final.epochs": round(final)}
    growing = {"inherit.method": way.method, "candidate.schedule": way.schedule, "candidate.epochs": way.epochs}
    return {**PATH, **growing, "final.epochs": round(final)}


def _row(preset: Preset, way: Way, changes: dict, of_seeds: list[dict], first: list[dict]) -> dict:
    """Accuracies of a way; `first` is what the paired differences are taken from."""
    config = runs.load(preset.config, {**preset.changes, **changes})
    grown = [[c["validation"] for c in run["candidates"] if c["role"] != "final"][-1:] for run in of_seeds]
    spent = [sum(cost(config, run["candidates"], final) for final in (False, True)) for run in of_seeds]
    tests, firsts = ([run["test_accuracy"] for run in side] for side in (of_seeds, first))
    after_growth = lambda key: summary.interval([values[0][key] for values in grown]) if all(grown) else None
    return {
        **way._asdict(),
        "after_growth": after_growth("accuracy"),
        "loss_after_growth": after_growth("loss"),
        "validation": summary.interval([run["candidates"][-1]["validation"]["accuracy"] for run in of_seeds]),
        "test": summary.interval(tests),
        "first_minus_this": summary.interval([a - b for a, b in zip(firsts, tests)]),
        "cost": summary.interval(spent),
        "final_epochs": config.final.epochs,
        "seeds": [{"depths": run["depths"], "test_accuracy": run["test_accuracy"]} for run in of_seeds],
    }


if __name__ == "__main__":
    use_huge_pages()
    main()
