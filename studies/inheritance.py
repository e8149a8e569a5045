"""Which inheritance wins, at which learning rate and after how many epochs: one path of growth, walked in many ways.

    python -m studies inheritance --data_dir=DIR --out=studies/results/inheritance.json

All stages grow by one step in each of two rounds, whatever is measured, so every way trains the same networks with the
same data and seeds; then comes the final training. While growing, the rate is constant or annealed (cosine) within each
candidate. All spend equally many image passes times MACs on growth and final training together, in whole epochs: where
candidates are trained for fewer epochs the final training has more. `one training run` has no growth at all, only
the last depths from scratch. The same command goes on where it stopped.
"""

import functools
import pathlib
from typing import NamedTuple

from jaxstage.comparison.table import interval
from jaxstage.config import load, plain
from jaxstage.cost import count
from jaxstage.data import load_train
from jaxstage.models import build
from studies import tables
from studies.study import Study, files, measure, measuring_options

METHODS, SCHEDULES, OTHER_EPOCHS, SEEDS = ("identity", "gauss", "copy", "scratch"), ("constant", "cosine"), (1, 2, 5), 3
PATH = {"importance.method": "uniform", "growth.rule": "relative_rise", "growth.step": 1, "growth.max_rounds": 2}
CONFIG = "cifar10:smoke"
CHANGES = {
    "data.examples": 2_000,
    "data.validation": 1 / 5,
    "batch_size": 32,
    "model.widths": (4, 8, 16),
    "candidate.epochs": 3,
    "final.epochs": 8,
    "convolutions": "native",
}


class Way(NamedTuple):
    """One way to the last depths: how they inherit, the learning rate while growing, and the epochs of each candidate.

    Without a method and a schedule it is one training run of these depths.
    """

    method: str | None
    schedule: str | None
    epochs: int

    @property
    def name(self) -> str:
        if not self.method:
            return "one training run"
        return f"{self.method} ({self.schedule}), {self.epochs} epoch{'s' * (self.epochs > 1)}"


def ways(epochs: int, others: tuple[int, ...] = OTHER_EPOCHS) -> list[Way]:
    """All that are compared; the first is the one that the others are compared with."""
    inheritances = [Way(method, schedule, epochs) for schedule in SCHEDULES for method in METHODS]
    return inheritances + [Way(METHODS[0], SCHEDULES[0], other) for other in others] + [Way(None, None, 0)]


def changes_of(config_file: str, changes: dict, way: Way) -> dict:
    """What is changed in a config so that a way costs as much as the changed config itself."""
    config = load(config_file, {**changes, **PATH})
    dataset, start = load_train(config.data, 0), tuple(config.model.depths)
    path = [
        tuple(depth + config.growth.step * rounds for depth in start) for rounds in range(config.growth.max_rounds + 1)
    ]
    network = lambda depths: build(plain(config.model), depths, dataset.num_classes)
    macs = [count(network(depths), dataset.image_shape).macs for depths in path]
    final = round(config.final.epochs + (config.candidate.epochs - way.epochs) * sum(macs) / macs[-1])
    if not way.method:
        return {**changes, "task": "train", "model.depths": path[-1], "final.epochs": final}
    growing = {"inherit.method": way.method, "candidate.schedule": way.schedule, "candidate.epochs": way.epochs}
    return {**changes, **PATH, **growing, "final.epochs": final}


def walk(config_file: str, changes: dict, way: Way, seed: int, workdir: pathlib.Path) -> dict:
    """Runs a way in a work directory, or goes on with it there; depths, test accuracy and final epochs."""
    from jaxstage.run import run

    config = load(config_file, {**changes_of(config_file, changes, way), "seed": seed})
    result = run(config, config_file, str(workdir))
    return {"depths": result["depths"], "test_accuracy": result["test_accuracy"], "final_epochs": config.final.epochs}


def main(arguments: list[str] | None = None) -> None:
    options = measuring_options(__doc__, "runs/inheritance", arguments)
    changes = CHANGES | {"data.dir": options.data_dir}
    cells = {
        f"{way.name}, seed {seed}": functools.partial(
            walk, CONFIG, changes, way, seed, options.root / f"{way.name}, seed {seed}".replace(" ", "-")
        )
        for seed in range(SEEDS)
        for way in ways(CHANGES["candidate.epochs"])
    }
    found = measure(options.out, {"config": CONFIG, "changes": CHANGES}, cells)
    print(details(summarise(found)))


# What docs/RESULTS.md says of it


def summarise(found: dict[str, dict]) -> dict[str, dict]:
    """{way: {test, first_minus_this, final_epochs}}; differences are taken seed by seed.

    Raises:
      ValueError: the ways did not lead to the same depths, so they say nothing of each other.
    """
    by_way: dict[str, dict[str, dict]] = {}
    for name, cell in found.items():
        way, _, seed = name.rpartition(", seed ")
        by_way.setdefault(way, {})[seed] = cell
    if len(ends := {tuple(cell["depths"]) for cell in found.values()}) > 1:
        raise ValueError(f"not all ways led to the same depths: {sorted(ends)}")
    first = next(iter(by_way.values()), {})
    accuracy = lambda cells, seed: cells[seed]["test_accuracy"]
    return {
        way: {
            "test": interval([accuracy(cells, seed) for seed in cells]),
            "first_minus_this": interval([accuracy(first, seed) - accuracy(cells, seed) for seed in cells]),
            "final_epochs": next(iter(cells.values()))["final_epochs"],
        }
        for way, cells in by_way.items()
    }


def verdict(found: dict[str, dict], leave_out: str = "cosine") -> str:
    first = next(iter(found))
    rows = [
        [
            way,
            str(row["final_epochs"]),
            tables.percent(row["test"]),
            "" if way == first else tables.verdict(row["first_minus_this"], 1, 100),
        ]
        for way, row in found.items()
        if leave_out not in way
    ]
    head = ["inheritance (rate while growing), a candidate's epochs", "of the last training", "test accuracy, %"]
    return tables.table([*head, f"{first}, against this, points"], rows)


def details(found: dict[str, dict]) -> str:
    return verdict(found, leave_out="nothing")


STUDY = Study(
    "*Is it worth inheriting weights?* All stages grow in two rounds, (1, 1, 1) to (3, 3, 3), whatever is measured, and all "
    "ways spend equally many image passes times MACs on growth and last training together; three seeds, 1,600 images of "
    "CIFAR-10 (JPEG copy), widths 4, 8, 16 (`python -m studies inheritance`).",
    lambda folder: files(folder, "inheritance.json").get("inheritance", {}).get("cells", {}),
    summarise,
    verdict,
    details,
)
