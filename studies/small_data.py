"""What is worth most with few pictures of one's own: from a pretrained network, each switch of the recipe by itself.

    python -m studies small_data --data_dir=DIR --source=WORKDIR --out=studies/results/small_data.json

CIFAR-10 is cut to some images a class, and each is brought to 64 pixels; the test has 300 of the test images of each
class. SOURCE is a pretrained network, from `jaxstage import` (docs/pretrained.md). All arms of a size see the same images
and epochs, and with the same seed the same split. `photos` is configs/photos.py: half as many epochs for the
elastic network, and as many as all others have for the one that it chooses. The same command goes on where it stopped.
"""

import argparse
import functools
import pathlib
import shutil

import numpy as np
import PIL.Image

from jaxstage.comparison.table import interval
from jaxstage.config import default, flatten, load
from jaxstage.data.prepare import prepare_folder
from jaxstage.data.sources import TRAIN, open_source
from studies import tables
from studies.study import Study, files, measure

BASE, SCRATCH, PHOTOS = "fine-tuned", "from scratch", "photos"
SWITCHES = {
    "no averages of weights": {"optimizer.ema": 0.0},
    "no random crops": {"data.crop_scale": ()},
    "a tenth of the rate for what is inherited": {"transfer.rate": 0.1},
    "rates that fall by stage": {"transfer.layer_decay": 0.8},
    "head first": {"transfer.head_epochs": 2.0},
    "frozen statistics": {"transfer.frozen_statistics": True},
    "mixup": {"data.mixup": 0.2},
    "cutmix": {"data.cutmix": 1.0},
    "random erasing": {"data.erasing": 0.25},
    "early stopping": {"final.patience": 4},
}
OF_A_SEARCH = ("task", "model.", "growth.", "candidate.")  # keys of configs/photos.py that a transfer does without
PER_CLASS, TESTED, SEEDS, EPOCHS = (50, 200, 1000), 300, 3, {50: 16, 200: 12, 1000: 6}
CHANGES = {"report.pictures": False, "checkpoint.every_steps": 10**6}


def arms() -> tuple[str, ...]:
    """All of them, the one first that the others are compared with."""
    return BASE, SCRATCH, PHOTOS, *SWITCHES


def settings(arm: str, epochs: int, source: str) -> tuple[str, dict]:
    """A config and what is changed in it for an arm."""
    if arm == PHOTOS:
        return "photos", {"source": source, "candidate.epochs": epochs // 2, "final.epochs": epochs}
    recipe = {key: value for key, value in flatten(load("photos")).items() if not key.startswith(OF_A_SEARCH)}
    # Random weights need the higher rate that is usual for them.
    scratch = {"transfer.mode": "scratch", "optimizer.learning_rate": default().optimizer.learning_rate}
    changes = scratch if arm == SCRATCH else SWITCHES.get(arm, {})
    return "transfer", {**recipe, **changes, "source": source, "final.epochs": epochs}


def prepare(per_class: int, data_dir: str | None, sets: pathlib.Path) -> str:
    """Writes the cut as a set, if it is not there; its name."""
    name = f"few_{per_class}"
    if not (sets / name).exists():
        source, folder = open_source("cifar10", data_dir), sets / f"{name}.tmp"
        for split, number in ((TRAIN, per_class), ("test", TESTED)):
            labels, random = source.labels(split), np.random.default_rng(0)
            some = [random.permutation(np.flatnonzero(labels == each))[:number] for each in np.unique(labels)]
            chosen = np.sort(np.concatenate(some))
            for place, image, label in zip(chosen, *source.read(split, chosen)):
                path = folder / split / source.class_names[label] / f"{place}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(image).save(path)
        prepare_folder(name, folder, str(sets))
        shutil.rmtree(folder)
    return name


def train(arm: str, per_class: int, seed: int, options: argparse.Namespace) -> dict:
    """Runs an arm, or goes on with it; depths, MACs, test accuracy, and the passes over images times MACs that it took."""
    from jaxstage.run import run
    from jaxstage.workdir import record as records

    sets = options.root / "sets"
    name = prepare(per_class, options.data_dir, sets)
    file, changes = settings(arm, EPOCHS[per_class], str(options.source))
    config = load(file, {**CHANGES, **changes, "data.name": name, "data.dir": str(sets), "seed": seed})
    workdir = options.root / f"{per_class}-{arm}-{seed}".replace(" ", "-")
    result, record = run(config, file, str(workdir)), records.load(workdir)
    taken = sum(sum(candidate.work.values()) for candidate in record.candidates)
    keys = ("depths", "macs", "test_accuracy", "seconds")
    return {key: result[key] for key in keys} | {"work": taken}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", metavar="DIR", help="where CIFAR-10 lies as a TFDS set")
    parser.add_argument("--source", metavar="WORKDIR", type=pathlib.Path, required=True, help="the pretrained network")
    parser.add_argument(
        "--root", metavar="DIR", type=pathlib.Path, default="runs/small_data", help="of the training runs"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=pathlib.Path, required=True, help="where figures are kept as JSON"
    )
    parser.add_argument(
        "--per_class", type=int, nargs="+", choices=PER_CLASS, default=PER_CLASS, help="sizes to measure"
    )
    parser.add_argument("--arms", nargs="+", choices=arms(), default=arms(), help="arms to measure")
    options = parser.parse_args(arguments)
    cells = {
        f"{per_class} a class, {arm}, seed {seed}": functools.partial(train, arm, per_class, seed, options)
        for per_class in options.per_class
        for seed in range(SEEDS)
        for arm in options.arms
    }
    told = {"epochs": {str(size): epochs for size, epochs in EPOCHS.items()}, "switches": SWITCHES, "changes": CHANGES}
    print(verdict(summarise(measure(options.out, told, cells))))


# What docs/RESULTS.md says of it


def summarise(found: dict[str, dict]) -> dict[tuple[int, str], dict]:
    """{(images a class, arm): {test, macs, work, better}}; work and MACs relative to fine-tuning, `better` seed by seed."""
    cells: dict[tuple[int, str], dict[str, dict]] = {}
    for name, cell in found.items():
        size, arm, seed = name.split(", ")
        cells.setdefault((int(size.partition(" ")[0]), arm), {})[seed] = cell
    summary = {}
    for (size, arm), of_seeds in cells.items():
        base = cells.get((size, BASE), {})
        both = [(of_seeds[seed], base[seed]) for seed in of_seeds if seed in base]
        ratio = lambda key, both=both: interval([one[key] / other[key] for one, other in both]) if both else None
        gains = [one["test_accuracy"] - other["test_accuracy"] for one, other in both]
        summary[size, arm] = {
            "test": interval([cell["test_accuracy"] for cell in of_seeds.values()]),
            "macs": ratio("macs"),
            "work": ratio("work"),
            "better": interval(gains) if gains else None,
        }
    return summary


def verdict(summary: dict[tuple[int, str], dict]) -> str:
    head = ["images a class", "arm", "test accuracy, %", f"against `{BASE}`, points", "MACs, of its", "work, of its"]
    rows = [
        [
            str(size),
            arm,
            tables.percent(row["test"]),
            "" if arm == BASE else tables.verdict(row["better"], 1, 100),
            tables.number(row["macs"]),
            tables.number(row["work"]),
        ]
        for (size, arm), row in sorted(summary.items(), key=lambda item: (item[0][0], arms().index(item[0][1])))
    ]
    return tables.table(head, rows)


STUDY = Study(
    question="*Does a pretrained network need all of its blocks?* EfficientNet-Lite0 with its ImageNet weights, taken to "
    "CIFAR-10 (a JPEG copy) cut to a few images a class, at 64 pixels, three seeds; `photos` is the search of "
    "`configs/photos.py` and trains an elastic network for half as many epochs before (`python -m studies small_data`).",
    cells=lambda folder: {
        name: cell for one in files(folder, "small_data*.json").values() for name, cell in one["cells"].items()
    },
    summary=summarise,
    verdict=verdict,
)
