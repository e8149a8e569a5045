"""Reads an elastic network of NAS-Bench-Macro's blocks and compares with what others got who trained its networks alone.

    python ../shared/data/prepare.py --only cifar10 --data-dir=DIR
    python -m studies.macro --table=../shared/depth_tables/nbm_111_111.json --data_dir=DIR --epochs 2 6 --out=FILE.json

For each number of epochs one elastic network, from one block a stage to the table's most, is trained on CIFAR-10 with
annealing and read in all states, with statistics of its own for each. Printed is how the readings rank the table's
networks (Kendall's tau), and the regret of the choice by a fitted response over all budgets of MACs, as studies.replay
has it; beside them what costs and depth alone say, and the regrets of fixed rules. The last line is the same as JSON.
"""

import argparse
import json
import pathlib
import re
import time
from collections.abc import Callable

import jax
from flax import linen as nn
from ml_collections import ConfigDict
from scipy.stats import kendalltau

from jaxstage.comparison.table import interval
from jaxstage.config import load as load_config
from jaxstage.data import Dataset, load_train
from jaxstage.data.augment import Augmentation
from jaxstage.data.dataset import divide
from jaxstage.depth_search.reading import as_trained, read
from jaxstage.depth_search.response import choose, fit, frontier
from jaxstage.depths import Depths
from jaxstage.devices.cpu import native
from jaxstage.devices.cpu.host_memory import use_huge_pages
from jaxstage.devices.mesh import set_up
from jaxstage.files import write_json
from jaxstage.models import block_name
from jaxstage.models.elastic import make_deck
from jaxstage.models.layers import batch_norm, convolution
from jaxstage.models.mobilenet import InvertedResidual
from jaxstage.models.stem import apply_stem
from jaxstage.train import TrainState, resident
from jaxstage.train.state import init_state, learning_rates, make_optimizer, make_schedule
from jaxstage.train.step import Recipe, make_train_step
from studies import replay, tables
from studies.study import Study, files

WIDTHS, STEM_WIDTH, HEAD_WIDTH, CLASSES = (64, 128, 256), 32, 1280, 10
BATCH, AUGMENTATION = 128, Augmentation(crop_padding=4, flip=True)
CALIBRATION = 1024  # training images that each state's statistics are taken from

Block = tuple[int, int]  # expansion, kernel


class Macro(nn.Module):
    """A network of NAS-Bench-Macro: the first block of each stage may be of another type than the others."""

    depths: Depths
    first: tuple[Block, ...]
    later: tuple[Block, ...]
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        norm = lambda **options: self.norm(use_running_average=not train, **options)
        x = apply_stem(x, "cifar", STEM_WIDTH, self.conv, norm)
        for stage, (depth, width) in enumerate(zip(self.depths, WIDTHS)):
            for index in range(depth):
                expansion, kernel = (self.later if index else self.first)[stage]
                x = InvertedResidual(
                    width, 1 if index else 2, expansion, kernel, self.conv, norm, name=block_name(stage, index)
                )(x)
        x = nn.relu(norm(name="head_norm")(self.conv(HEAD_WIDTH, (1, 1), name="head_conv")(x)))
        return nn.Dense(CLASSES, name="head")(x.mean(axis=(1, 2)))


def blocks(names: list[str]) -> tuple[Block, ...]:
    """(expansion, kernel) of names like MB6_K5."""
    return tuple(tuple(map(int, re.fullmatch(r"MB(\d+)_K(\d+)", name).groups())) for name in names)


def train(module: nn.Module, states: list[Depths], dataset: Dataset, config: ConfigDict, epochs: int) -> TrainState:
    """An elastic network after so many epochs, annealed."""
    parallel, steps_per_epoch = set_up("jit", 1, BATCH), dataset.train.size // BATCH
    optimizer, settings = make_optimizer(config.optimizer), ConfigDict({**config.final, "epochs": epochs})
    step = make_train_step(
        module, optimizer, dataset.normalization, Recipe(AUGMENTATION), deck=make_deck(states, BATCH)
    )
    program = resident.compile_step(step, parallel, BATCH)
    place = lambda tree: jax.device_put(tree, parallel.replicated)
    key = place(jax.random.key(config.seed))
    state = place(init_state(module, optimizer, dataset.image_shape, jax.random.fold_in(key, 0)))
    rates = learning_rates(
        make_schedule(settings, config.optimizer.learning_rate, steps_per_epoch), epochs * steps_per_epoch
    )
    feed = resident.Feed(place(dataset.train), key, parallel, BATCH, rates)
    for number in range(len(rates)):
        state, _ = program(state, *feed(number, 1), key)
    return state


def study(
    path: pathlib.Path,
    dataset: Dataset,
    config: ConfigDict,
    lengths: list[int],
    say: Callable = print,
    keep: Callable[[dict], None] = lambda found: None,
    convolutions: str = "xla",
) -> dict:
    """What readings after so many epochs say of a table; plain data, figures as in the docstring.

    `keep` is told what there is after each training run.
    """
    description, table = json.loads(path.read_text()), replay.load(path)[-1]
    states, truth, macs = list(table.judged_on), list(table.judged_on.values()), table.costs["macs"]
    tau = lambda values: float(kendalltau(truth, values).statistic)
    found = {
        "table": path.stem,
        "tau": {"macs": tau(list(macs.values())), "depth": tau([sum(depths) for depths in states])},
        "regret": replay.regrets(table, "macs"),
        "elastic": [],
    }
    module = Macro(
        max(states),
        blocks(description["first_block"]),
        blocks(description["later_blocks"]),
        convolution("float32", convolutions),
        batch_norm("float32", 1e-5, 0.9, None),
    )
    _, part = divide(dataset.train, min(CALIBRATION, dataset.train.size // 2), config.seed)
    calibration = as_trained(part, jax.random.key(config.seed), AUGMENTATION, dataset.normalization)
    for epochs in lengths:
        start = time.monotonic()
        state = train(module, states, dataset, config, epochs)
        trained = time.monotonic()
        reading = read(module, state.variables, states, dataset.validation, calibration, dataset.normalization)
        losses = reading.losses.mean(axis=1)
        points = frontier(fit(reading.states, losses, reading.errors()), macs.__getitem__)
        scores, errors = reading.importance()
        found["elastic"].append(
            {
                "epochs": epochs,
                "tau_loss": tau(-losses),
                "tau_accuracy": tau(reading.correct.mean(axis=1)),
                "regret": replay.mean_regret(table, "macs", lambda budget: choose(points, budget)),
                "importance": scores.tolist(),
                "importance_errors": errors.tolist(),
                "accuracy_deepest": float(reading.correct[reading.states.index(max(states))].mean()),
                "losses": dict(zip(map(str, reading.states), losses.tolist())),
                "seconds": {"training": trained - start, "reading": time.monotonic() - trained},
            }
        )
        keep(found)
        say(f"{path.stem}, {_told(found['elastic'][-1])}")
    fixed = ", ".join(f"{rule} {found['regret'][rule]:.2f}" for rule in replay.FIXED)
    say(f"{path.stem}: tau of MACs {found['tau']['macs']:.2f}, of depth {found['tau']['depth']:.2f}; regrets: {fixed}")
    return found


def _told(read: dict) -> str:
    return (
        f"{read['epochs']} epochs: tau {read['tau_loss']:.2f} by loss, {read['tau_accuracy']:.2f} by accuracy; regret "
        f"{read['regret']:.2f}; deepest {100 * read['accuracy_deepest']:.1f} % (JPEG); trained in "
        f"{read['seconds']['training']:.0f} s, read in {read['seconds']['reading']:.0f} s"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", metavar="FILE", type=pathlib.Path, required=True, nargs="+")
    parser.add_argument("--data_dir", metavar="DIR", help="where CIFAR-10 lies as a TFDS set")
    parser.add_argument("--epochs", type=int, nargs="+", default=[6], help="lengths of training, a network each")
    parser.add_argument("--examples", type=int, default=10_000, help="of CIFAR-10's training split")
    parser.add_argument("--read", type=int, default=2_000, help="how many of these examples to read on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", metavar="FILE", type=pathlib.Path, help="where to keep the figures as JSON")
    parser.add_argument("--convolutions", choices=("xla", "native"), default="xla", help="native: faster on CPUs")
    options = parser.parse_args(arguments)
    if options.convolutions == "native":
        native.load()
    config = load_config("cifar10_mobilenet", {"data.dir": options.data_dir, "seed": options.seed})
    config.data.examples, config.data.validation = options.examples, options.read / options.examples
    dataset = load_train(config.data, config.seed)
    settings = {"examples": options.examples, "read": options.read, "seed": options.seed, "batch": BATCH}
    done = []

    def keep(found: dict) -> None:
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(options.out, {"settings": settings, "tables": [*done, found]})

    for path in options.table:
        done.append(study(path, dataset, config, options.epochs, keep=keep, convolutions=options.convolutions))
    print(json.dumps(done))


# What docs/RESULTS.md says of it

READ = 2_000  # images, in files from before --read was an option
BEFORE = "lengths_before_micro_batches"  # a file of another way to train and to read, for the appendix alone
FILES = "macro*.json"  # all that `python -m studies macro` has left: figures of other images and epochs need no more


def cells(folder: pathlib.Path) -> dict[str, dict]:
    """By file: {settings, tables}."""
    return files(folder, FILES) | files(folder, f"{BEFORE}.json")


def summarise(found: dict[str, dict]) -> dict[str, list[dict]]:
    """Rows {name, images, epochs, tau, tau_macs, tau_depth, regret, rule, regret_rule, accuracy, ranks, chooses}, by
    whether they are of `now` or `before`; intervals are over seeds with the same block types, images and epochs."""
    kinds = {"now": [key for key in found if key != BEFORE], "before": [key for key in found if key == BEFORE]}
    rows = {}
    for kind, keys in kinds.items():
        alike: dict[tuple, list[tuple[dict, dict]]] = {}
        for settings, one in ((found[key]["settings"], one) for key in keys for one in found[key]["tables"]):
            images = settings["examples"] - settings.get("read", READ)
            for reading in one["elastic"]:
                alike.setdefault((one["table"], images, reading["epochs"]), []).append((one, reading))
        rows[kind] = [_row(*key, alike[key]) for key in sorted(alike)]
    return rows


def _row(name: str, images: int, epochs: int, seeds: list[tuple[dict, dict]]) -> dict:
    one, readings = seeds[0][0], [reading for _, reading in seeds]
    rule = min(replay.FIXED, key=one["regret"].__getitem__)
    return {
        "name": name,
        "images": images,
        "epochs": epochs,
        "tau": interval([reading["tau_loss"] for reading in readings]),
        "tau_macs": one["tau"]["macs"],
        "tau_depth": one["tau"]["depth"],
        "regret": interval([reading["regret"] for reading in readings]),
        "rule": rule,
        "regret_rule": one["regret"][rule],
        "accuracy": interval([reading["accuracy_deepest"] for reading in readings]),
        "ranks": interval([reading["tau_loss"] - one["tau"]["macs"] for reading in readings]),
        "chooses": interval([one["regret"][rule] - reading["regret"] for reading in readings]),
    }


def verdict(found: dict[str, list[dict]], kind: str = "now") -> str:
    head = [
        "block types",
        "images",
        "epochs",
        "Kendall's tau, reading",
        "MACs",
        "depth",
        "reading against MACs",
        "regret, reading",
        "best fixed rule",
        "reading against it, points",
        "accuracy of the deepest state, %",
    ]
    rows = [
        [
            row["name"],
            f"{row['images']:,}",
            str(row["epochs"]),
            tables.number(row["tau"]),
            f"{row['tau_macs']:.2f}",
            f"{row['tau_depth']:.2f}",
            tables.verdict(row["ranks"]),
            tables.number(row["regret"]),
            f"{row['regret_rule']:.2f} ({row['rule']})",
            tables.verdict(row["chooses"]),
            tables.percent(row["accuracy"]),
        ]
        for row in found[kind]
    ]
    return tables.table(head, rows)


def details(found: dict[str, list[dict]]) -> str:
    return (
        "Of other lengths of training, read earlier: of networks whose examples had a state each instead of whole "
        "micro-batches, with statistics of whole images instead of such as training shows them.\n\n"
        + verdict(found, "before")
    )


STUDY = Study(
    "*And of networks that others trained?* An elastic network of NAS-Bench-Macro's blocks, real widths, trained on so many "
    "images of CIFAR-10 (JPEG copy) and read on 2,000 others, against the table's networks (`python -m studies macro`). "
    "*One alone*: one seed, which has no interval.",
    cells,
    summarise,
    verdict,
    details,
)


if __name__ == "__main__":
    use_huge_pages()
    main()
