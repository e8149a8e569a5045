"""Which inheritance wins, and at which learning rate: one path of growth, walked with each.

    python benchmarks/inheritance.py --preset=tiny     # 2 CPU cores, about 10 minutes
    python benchmarks/inheritance.py --preset=gpu      # one GPU; not measured yet
    python benchmarks/inheritance.py --preset=full     # the published scale

All stages grow by one step in each of two rounds, whatever is measured, so every method trains the same networks for
the same number of steps with the same data and seeds; then comes the final training. While growing, the rate is
constant or annealed (cosine) within each candidate. `one training` has no growth: the last depths from scratch, for as
many image passes times MACs as growth and final training take together, in whole epochs.

The command goes on where it was killed; what it leaves is benchmarks/results/inheritance/<preset>.json.
"""
import pathlib
from typing import NamedTuple

import grid
import runs
import summary
from jaxstage.host_memory import use_huge_pages
from passes import cost

METHODS = ("identity", "gauss", "copy", "scratch")
SCHEDULES = ("constant", "cosine")
ONE_TRAINING = "one training"
PATH = {"importance.method": "uniform", "growth.max_rounds": 2}


class Preset(NamedTuple):
    """A config (FILE[:PRESET]), what is changed in it, how many seeds, and processes side by side."""

    config: str
    changes: dict
    seeds: int
    jobs: int


PRESETS = {
    "toy": Preset("configs/digits.py", {
        "data.examples": 200, "model.widths": (4, 8), "model.depths": (1, 1), "candidate.epochs": 1, "final.epochs": 1,
        "importance.examples": 32,
    }, seeds=1, jobs=1),
    "tiny": Preset("configs/cifar10.py:smoke", {
        "data.examples": 1_500, "data.validation": 0.4, "batch_size": 32, "candidate.epochs": 3, "final.epochs": 6,
    }, seeds=3, jobs=2),
    "gpu": Preset("configs/cifar10.py:fast", {"candidate.epochs": 3, "final.epochs": 15}, seeds=3, jobs=1),
    "full": Preset("configs/cifar10.py:full", {}, seeds=5, jobs=1),
}  # fmt: skip


def main():
    given = runs.arguments(__doc__, "inheritance", PRESETS)
    settings, results = compare(PRESETS[given.preset], given.root, given.jobs)
    summary.write(summary.path("inheritance", given.preset), given.preset, settings, results)


def compare(preset: Preset, root: pathlib.Path, jobs: int) -> tuple[dict, list[dict]]:
    """Runs what is not finished; returns settings and one row for each method and schedule."""
    facts = runs.Facts(preset.config, {**preset.changes, **PATH})
    names = [(method, schedule) for schedule in SCHEDULES for method in METHODS] + [(ONE_TRAINING, None)]
    changes = {name: _changes(facts, *name) for name in names}
    cell = lambda name, seed: grid.Cell(
        f"{_folder(name)}/seed{seed}", runs.measure, (preset.config, {**preset.changes, **changes[name], "seed": seed})
    )
    results = grid.run([cell(name, seed) for seed in range(preset.seeds) for name in names], root, jobs)
    of = lambda name: [results[f"{_folder(name)}/seed{seed}"] for seed in range(preset.seeds)]
    rows = [_row(preset, facts, name, changes[name], of(name), of(names[0])) for name in names]
    return {"seeds": preset.seeds, **facts.settings()}, rows


def _changes(facts: runs.Facts, method: str, schedule: str | None) -> dict:
    if method != ONE_TRAINING:
        return {**PATH, "inherit.method": method, "candidate.schedule": schedule}
    step = facts.config.growth.step
    path = [tuple(depth + step * steps for depth in facts.start) for steps in range(PATH["growth.max_rounds"] + 1)]
    macs = [facts.cost_of(depths).macs for depths in path]
    growing = facts.config.candidate.epochs * sum(macs) / macs[-1]
    return {"task": "train", "model.depths": path[-1], "final.epochs": round(facts.config.final.epochs + growing)}


def _folder(name: tuple[str, str | None]) -> str:
    return "-".join(filter(None, name)).replace(" ", "-")


def _row(
    preset: Preset, facts: runs.Facts, name: tuple, changes: dict, of_seeds: list[dict], first: list[dict]
) -> dict:
    """Accuracies of a method; `first` is what the paired differences are taken from."""
    config = runs.load(preset.config, {**preset.changes, **changes})
    grown = [[c["validation"] for c in run["candidates"] if c["role"] != "final"][-1:] for run in of_seeds]
    spent = [sum(cost(config, run["candidates"], final) for final in (False, True)) for run in of_seeds]
    tests, firsts = ([run["test_accuracy"] for run in side] for side in (of_seeds, first))
    after_growth = lambda key: summary.interval([values[0][key] for values in grown]) if all(grown) else None
    return {
        "method": name[0],
        "schedule": name[1],
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
