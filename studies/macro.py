"""Reads an elastic network of NAS-Bench-Macro's blocks and compares with what others got who trained its networks alone.

    python ../shared/data/prepare.py --only cifar10 --data-dir=DIR
    python -m studies.macro --table=../shared/depth_tables/nbm_111_111.json --data_dir=DIR --epochs 2 6 18
    --out=FILE.json

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

from jaxstage.config import load as load_config
from jaxstage.data import Dataset, load_train
from jaxstage.data.dataset import cut
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
from jaxstage.train.step import make_train_step
from studies import replay

WIDTHS, STEM_WIDTH, HEAD_WIDTH, CLASSES = (64, 128, 256), 32, 1280, 10
BATCH, CROP_PADDING = 128, 4
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
        module,
        optimizer,
        dataset.normalization,
        crop_padding=CROP_PADDING,
        flip=True,
        label_smoothing=0.0,
        deck=make_deck(states, BATCH),
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
    _, part = cut(dataset.train, min(CALIBRATION, dataset.train.size // 2), config.seed)
    calibration = as_trained(part, jax.random.key(config.seed), CROP_PADDING, flip=True)
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
        last = found["elastic"][-1]
        say(
            f"{path.stem}, {epochs} epochs: tau {last['tau_loss']:.2f} by loss, {last['tau_accuracy']:.2f} by accuracy; regret "
            f"{last['regret']:.2f}; deepest {100 * last['accuracy_deepest']:.1f} % (JPEG); trained in "
            f"{last['seconds']['training']:.0f} s, read in {last['seconds']['reading']:.0f} s"
        )
    fixed = ", ".join(f"{rule} {found['regret'][rule]:.2f}" for rule in replay.FIXED)
    say(f"{path.stem}: tau of MACs {found['tau']['macs']:.2f}, of depth {found['tau']['depth']:.2f}; regrets: {fixed}")
    return found


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


if __name__ == "__main__":
    use_huge_pages()
    main()
