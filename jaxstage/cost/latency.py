"""What networks take on a device, by their depths: a table of block latencies, as Once-for-All has them of phones.

    latency(k) = base + sum_i (k_i - l_i) b_i

l are the depths of a network that was measured, base is what it took, and b_i is what a block more in stage i adds. A
stage's first block, which may halve the resolution, is in the base; the others of a stage are all alike. So a few
measurements tell of all depths (Cai et al., "Once-for-All", ICLR 2020, arXiv 1908.09791).
"""

import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.config import Config, default, plain, start_depths, typed
from jaxstage.config.moved import renewed
from jaxstage.cost.timing import latencies, make_classify
from jaxstage.data import Normalization
from jaxstage.errors import UserError, brief
from jaxstage.files import local, read_json, write_json
from jaxstage.models import build

FILE = "latency.json"
ADDED = 2  # blocks: what a single one takes is small beside the noise
# What a table's model may have otherwise than a run's: numbers of BatchNorm take no time. Its dtype does.
MAY_DIFFER = ("depths", "bn_epsilon", "bn_momentum")


class Table(NamedTuple):
    """Latencies of a network's blocks on a device.

    Attributes:
      device: its kind, for people.
      batch_size: images that are classified at once.
      image_shape: (height, width, channels) of one.
      model: the config's `model` part as a plain dict, without depths.
      lower: depths of the network that `base_ms` is of.
      base_ms: milliseconds of a batch, pixels to logits.
      block_ms: what a block more in each stage adds to them.
    """

    device: str
    batch_size: int
    image_shape: tuple[int, int, int]
    model: dict[str, Any]
    lower: tuple[int, ...]
    base_ms: float
    block_ms: tuple[float, ...]

    def latency(self, depths: tuple[int, ...]) -> float:
        """Milliseconds that a network of these depths takes for a batch.

        Example:
          Table("phone", 1, (32, 32, 3), {}, (1, 1), 2.0, (0.5, 0.25)).latency((3, 2))  # 3.25
        """
        added = (block * (depth - low) for block, depth, low in zip(self.block_ms, depths, self.lower, strict=True))
        return round(self.base_ms + sum(added), 4)


def measure(
    model: dict,
    lower: tuple[int, ...],
    image_shape: tuple[int, int, int],
    num_classes: int,
    batch_size: int,
    runs: int,
    timed: Callable[..., list[float]] = latencies,
) -> Table:
    """Measures the networks of a model on this machine, on one of its devices.

    Example:
      table = measure(plain(config.model), (1, 1, 1), (32, 32, 3), num_classes=10, batch_size=1, runs=30)
      table.latency((4, 2, 2))

    Args:
      model: the config's `model` part as a plain dict.
      lower: depths of the smallest network; the others have a few blocks more in one stage.
      image_shape: (height, width, channels).
      num_classes: size of the logits.
      batch_size: images at once.
      runs: how often each network is timed; medians count.
      timed: (networks, image_shape, batch, runs) -> milliseconds of each, see `jaxstage.cost.timing`.
    """
    model = {key: value for key, value in model.items() if key != "depths"}
    deeper = (tuple(depth + ADDED * (at == stage) for at, depth in enumerate(lower)) for stage in range(len(lower)))
    normalization = Normalization(np.zeros(image_shape[-1], np.float32), np.ones(image_shape[-1], np.float32))

    def network(depths: tuple[int, ...]) -> tuple[Callable, Any]:
        module, image = build(model, depths, num_classes), jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        variables = module.lazy_init(jax.random.key(0), image, train=False)
        return make_classify(module, normalization), variables

    base, *others = timed([network(depths) for depths in (lower, *deeper)], image_shape, batch_size, runs)
    blocks = tuple(max(0.0, round((other - base) / ADDED, 4)) for other in others)
    device = jax.local_devices()[0].device_kind
    return Table(device, batch_size, tuple(image_shape), model, tuple(lower), base, blocks)


def given(config: Config, image_shape: tuple[int, int, int]) -> Table | None:
    """The table that `growth.latency_table` names, or None.

    Args:
      config: of a run, resolved.
      image_shape: (height, width, channels) of the data.

    Raises:
      UserError: there is no such table, or it is of something else.
    """
    name = config.growth.latency_table
    if not name:
        return None
    path = local(name, "config.growth.latency_table")
    return fitting(load(path), path, config, image_shape)


def of_config(config: Config, image_shape: tuple[int, int, int], num_classes: int) -> Table:
    """Measures the networks of a config on this machine, from the depths on that its search would start with.

    Args:
      config: resolved; `growth.latency_batch` images at once, `evaluate.latency_runs` times.
      image_shape: (height, width, channels) of the data.
      num_classes: of the data.
    """
    batch, runs = config.growth.latency_batch, config.evaluate.latency_runs
    return measure(plain(config.model), start_depths(config), image_shape, num_classes, batch, runs)


def fitting(table: Table, path: pathlib.Path, config: Config, image_shape: tuple[int, int, int]) -> Table:
    """The table, if it is of a config's networks; else raises a UserError that names the file and what differs."""
    try:
        check_fit(table, plain(config.model), len(config.model.depths), image_shape, config.growth.latency_batch)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    start = start_depths(config)
    if any(low > depth for low, depth in zip(table.lower, start)):
        raise UserError(
            f"{path}: the latencies begin at depths {tuple(table.lower)}, and the search at {start}: measure them for this "
            "config with `jaxstage latency`"
        )
    return table


def check_fit(table: Table, model: dict, stages: int, image_shape: tuple[int, int, int], batch_size: int) -> None:
    """Raises UserError, naming the first thing that differs, if a table is not of these networks.

    Args:
      table: any.
      model: the config's `model` part as a plain dict.
      stages: number of its stages.
      image_shape: (height, width, channels) of the data.
      batch_size: the config's `growth.latency_batch`.
    """
    usual = plain(default().model)  # of a key that is newer than the table
    theirs, ours = usual | table.model, usual | model
    pairs = {
        "number of stages": (len(table.lower), stages),
        **{f"model.{key}": (theirs.get(key), ours.get(key)) for key in theirs | ours if key not in MAY_DIFFER},
        "size of images": (tuple(table.image_shape), tuple(image_shape)),
        "growth.latency_batch": (table.batch_size, batch_size),
    }
    for name, (there, here) in pairs.items():
        if there != here:
            theirs, ours = brief(there, 60), brief(here, 60)
            raise UserError(
                f"the latencies are of another {name}, {theirs} there and {ours} here: measure them for this config "
                "with `jaxstage latency`"
            )


def summary(table: Table) -> str:
    """What people are told of a table, in one line."""
    blocks = ", ".join(f"{block:.3g}" for block in table.block_ms)
    images = "1 image" if table.batch_size == 1 else f"{table.batch_size} images"
    return (
        f"latency on {table.device}, {images} a batch: {table.base_ms:.3g} ms at depths {tuple(table.lower)}, and for "
        f"each block more, by stage, {blocks} ms"
    )


def save(table: Table, path: str | os.PathLike) -> None:
    """Writes a table as JSON; the file is replaced as a whole.

    Raises:
      UserError: it cannot be written.
    """
    write_json(pathlib.Path(path), table._asdict())


def load(path: str | os.PathLike) -> Table:
    """The table in a file that `save` wrote, or that has the same fields.

    Example:
      load("latency.json").latency((4, 2, 2))

    Raises:
      UserError: there is no such file, or no such table in it.
    """
    data = read_json(pathlib.Path(path), remedy="write a table with `jaxstage latency`")
    if data is None:
        raise UserError(f"cannot read {path} (No such file or directory): write a table with `jaxstage latency`")
    try:
        return parsed(data)
    except ValueError as problem:
        raise UserError(f"{path} is no table of latencies: {problem}; write one with `jaxstage latency`") from problem


def parsed(data: Any) -> Table:
    """A table of what JSON has of it, as `save` writes it; raises ValueError where that is none."""
    if problem := _problem(data):
        raise ValueError(problem)
    data = renewed(data)
    fields = {field: data[field] for field in Table._fields}
    return Table(**{field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()})


def _problem(data: Any) -> str | None:
    """What is wrong with the JSON of a table, if anything."""
    if not isinstance(data, dict):
        return "it has no fields"
    if missing := [field for field in Table._fields if field not in data]:
        return f"{missing[0]} is missing"
    count = lambda value: not typed.problem(value, int) and value >= 1
    time = lambda value: not typed.problem(value, float) and 0 <= value <= typed.LARGEST
    several = lambda value, fits: isinstance(value, list) and all(map(fits, value))
    lower, blocks = data["lower"], data["block_ms"]
    wanted = {
        "device": (isinstance(data["device"], str), "text"),
        "batch_size": (count(data["batch_size"]), "a whole number of at least 1"),
        "image_shape": (
            several(data["image_shape"], count) and len(data["image_shape"]) == 3,
            "height, width and channels",
        ),
        "model": (isinstance(data["model"], dict), "keys of a config's model"),
        "lower": (several(lower, count) and lower, "a whole number of at least 1 for each stage"),
        "base_ms": (time(data["base_ms"]), "milliseconds, not negative"),
        "block_ms": (
            several(blocks, time) and isinstance(lower, list) and len(blocks) == len(lower),
            "milliseconds for each stage, not negative",
        ),
    }
    wrong = next((field for field, (fits, _) in wanted.items() if not fits), None)
    return wrong and f"{wrong}={brief(data[wrong], 60)} must be {wanted[wrong][1]}"
