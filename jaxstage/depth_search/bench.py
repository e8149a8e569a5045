"""The bench: what the actions of a search are carried out with, set up once and never changed."""

import functools
import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from jaxstage import cost, importance
from jaxstage.config import Config
from jaxstage.cost import latency
from jaxstage.data import Arrays, Dataset, Stream, load_train, skipped
from jaxstage.data.augment import Augmentation
from jaxstage.data.streaming import BrokenImages
from jaxstage.depth_search import choice, latencies, reading, rules, transfer
from jaxstage.depth_search.limits import CostOf
from jaxstage.depth_search.programs import Programs
from jaxstage.depths import Depths
from jaxstage.devices import hosts
from jaxstage.devices.cpu import native
from jaxstage.devices.energy import make_counter
from jaxstage.devices.mesh import Parallel, memory, set_up
from jaxstage.errors import UserError
from jaxstage.keys import derive
from jaxstage.report.console import Reporter
from jaxstage.train.inputs import input_of
from jaxstage.workdir.record import Candidate

BATCH_SIZE = 128  # where a config names none, of a set that is large enough
STEEPNESS = 2.56  # and of a smaller one the square root of so many times its examples, so of 6,400 the same


@dataclass(frozen=True)
class Bench:
    """All that an action needs besides the record. Holds no results: those are in the record and on disk.

    Attributes:
      config: as it runs, see `transfer.resolve`.
      dataset: training and validation images.
      source: what the first candidate starts from, if anything.
      workdir: where checkpoints and artefacts go.
      reporter: tells people.
      stop_signal: number of the signal that asks to stop, or None.
      parallel: the devices.
      key: of the run, on the devices.
      train_data: the training images, placed, see `jaxstage.train.inputs`.
      programs: what networks run.
      broken: from a stream to the count of its unreadable images, over all training runs and evaluations.
      cost_of: a network's cost by its depths, each counted once.
      joules: rises by the energy that the devices use.
      calibration_size: how many training images importance looks at.
      calibration: these images, on the devices.
      statistics_of: those that the states of an elastic network get their BatchNorm statistics from.
      judged_on: those that these states are read on: the validation split, of a stream as many as fit easily.
        All three are made when they are first asked for, and kept: a search judges many candidates on them.
    """

    config: Config
    dataset: Dataset
    source: transfer.Source | None
    workdir: pathlib.Path
    reporter: Reporter
    stop_signal: Callable[[], int | None]
    parallel: Parallel
    key: jax.Array
    train_data: Arrays | Stream
    programs: Programs
    broken: Callable[[Stream], BrokenImages]
    cost_of: CostOf
    joules: Callable[[], float]
    calibration_size: int
    calibration: Callable[[], Arrays]
    statistics_of: Callable[[], Arrays]
    judged_on: Callable[[], Arrays]

    @property
    def steps_per_epoch(self) -> int:
        return self.dataset.train.size * self.config.data.copies // self.config.batch_size

    def training(self, candidate: Candidate) -> Any:
        """The part of the config that says how a candidate is trained."""
        return self.config.final if candidate.role == "final" else self.config.candidate

    def states(self, candidate: Candidate) -> tuple[Depths, ...]:
        """The states that an elastic network is trained in; none of any other."""
        if candidate.lower is None:
            return ()
        return choice.states_within(candidate.lower, candidate.depths, self.config.growth, self.cost_of)


def open_run(config: Config) -> tuple[Config, Dataset, transfer.Source | None]:
    """The config as it runs, its data, and what its first network starts from, if anything.

    Raises:
      UserError: source or data are not there, or do not fit.
    """
    source = transfer.open_source(config)
    dataset = load_train(config.data, config.seed)
    config = transfer.resolve(config, source, dataset.image_shape)
    if config.batch_size is None:
        config.batch_size = batch_for(dataset.train.size, config.devices or jax.device_count())
    return config, dataset, source


def batch_for(examples: int, devices: int = 1) -> int:
    """The batch for so many training examples where the config names none: of a small set it grows with the square root of
    their number, and so do the steps of an epoch; but a device gets two at least."""
    return max(min(BATCH_SIZE, 2 ** int(math.log2(STEEPNESS * examples) / 2)), 2 * devices if devices > 1 else 1)


def make_bench(
    config: Config,
    dataset: Dataset,
    workdir: pathlib.Path,
    reporter: Reporter,
    stop_signal: Callable[[], int | None],
    source: transfer.Source | None = None,
) -> Bench:
    """Takes the devices and puts the data on them. Writes nothing; arguments as in `Bench`.

    Raises:
      UserError: batch, devices and data do not fit together.
    """
    parallel = set_up(config.parallel, config.devices, config.batch_size)
    if config.convolutions == "native":
        _use_native_convolutions(parallel)
    calibration_size = _check(config, dataset, parallel)
    reporter.say(_sizes(config, dataset, calibration_size))
    hosts.on_primary(latency.given, config, dataset.image_shape)  # what is wrong with it is told now
    key = hosts.replicate(jax.random.key(config.seed), parallel.replicated)
    train_data = input_of(dataset.train).place(dataset.train, parallel)
    validation = input_of(dataset.validation).place(dataset.validation, parallel)
    broken = make_broken(config, workdir, reporter)
    programs = Programs(config, dataset, validation, parallel, broken, source)
    _require_memory(config, dataset, parallel, programs)
    calibration = functools.cache(lambda: _calibration(config, dataset, train_data, parallel, broken))
    how = Augmentation.of(config.data)
    shown = lambda: reading.as_trained(calibration(), derive(key, "statistics"), how, dataset.normalization)
    sample = lambda: input_of(dataset.validation).sample(dataset.validation, config.seed, broken)
    return Bench(
        config=config,
        dataset=dataset,
        source=source,
        workdir=workdir,
        reporter=reporter,
        stop_signal=stop_signal,
        parallel=parallel,
        key=key,
        train_data=train_data,
        programs=programs,
        broken=broken,
        cost_of=make_cost_of(config, dataset, workdir, reporter, programs.module),
        joules=make_counter(config.energy.device_watts, parallel.mesh.size),
        calibration_size=calibration_size,
        calibration=calibration,
        statistics_of=functools.cache(shown),
        judged_on=functools.cache(lambda: hosts.replicate(sample(), parallel.replicated)),
    )


def make_cost_of(
    config: Config, dataset: Dataset, workdir: pathlib.Path, reporter: Reporter, module_of: Callable
) -> CostOf:
    """Builds `cost_of(depths)`, which counts a network once.

    The table of latencies, where the config asks for one, is found with the first: by then the work directory, which
    keeps what is measured, belongs to the run.
    """

    @functools.cache
    def kept_table() -> latency.Table | None:
        of_run = latencies.of_run, config, workdir, dataset.image_shape, dataset.num_classes, reporter.warn
        found = hosts.on_primary(*of_run)
        table = found and latency.Table(*found)  # to other hosts it came as a list
        if table:
            reporter.say(latency.summary(table))
        return table

    @functools.cache
    def cost_of(depths: Depths) -> cost.Cost:
        counted, table = cost.count(module_of(depths), dataset.image_shape), kept_table()
        return counted._replace(latency_ms=table.latency(depths)) if table else counted

    return cost_of


def make_broken(config: Config, workdir: pathlib.Path, reporter: Reporter) -> Callable[[Stream], BrokenImages]:
    """Builds `broken(stream)`, one count for each split, which notes in the work directory what it counts."""
    counts = {}

    def broken(stream: Stream) -> BrokenImages:
        split = (stream.name, stream.size)
        if split not in counts:
            note = functools.partial(skipped.add, skipped.file_in(workdir, jax.process_index()))
            counts[split] = BrokenImages(stream, config.data.max_broken, reporter.warn, note)
        return counts[split]

    return broken


def _check(config: Config, dataset: Dataset, parallel: Parallel) -> int:
    """The size of the calibration set, if importance is measured; raises UserError where a config does not fit the set."""
    if config.batch_size > dataset.train.size:
        raise UserError(
            f"config.batch_size={config.batch_size} is more than the {dataset.train.size} training examples of "
            f"{dataset.name} ({parallel.mesh.size} device(s)): use a smaller batch"
        )
    each = config.batch_size // parallel.mesh.size
    if Augmentation.of(config.data).mixes and each % 2:
        raise UserError(
            f"config.batch_size={config.batch_size}: data.mixup and data.cutmix mix images in pairs, and {each} of a batch "
            f"lie on each of {parallel.mesh.size} device(s): use a multiple of {2 * parallel.mesh.size}"
        )
    if config.task != "search":
        return 0
    importance.method(config)  # what is wrong with those of one's own is told now
    rules.of(config)
    size = input_of(dataset.train).calibration_size(config.importance.examples, dataset.train)
    if size < config.importance.shares:
        raise UserError(f"config.importance.shares={config.importance.shares}: only {size} calibration images")
    return size


def _sizes(config: Config, dataset: Dataset, calibration_size: int) -> str:
    """What people are told of the parts of a set, and of what follows their sizes."""
    told = (
        f"{dataset.name}: {dataset.train.size:,} images to train on, {dataset.validation.size:,} for validation; "
        f"{config.batch_size} a step"
    )
    return told + (f", importance measured on {calibration_size:,}" if calibration_size else "")


def _require_memory(config: Config, dataset: Dataset, parallel: Parallel, programs: Programs) -> None:
    """Raises UserError where the first network cannot be trained in a device's memory, whatever else is in it."""
    size = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
    state = programs.like(tuple(config.model.depths))
    weights = size(state) + size(state.params)  # and their gradients
    images = 4 * math.prod(dataset.image_shape) * config.batch_size // parallel.mesh.size  # as float32
    if weights + images > (there := memory()):
        raise UserError(
            f"config.model.widths={config.model.widths} and config.batch_size={config.batch_size}: training takes "
            f"{weights / 2**30:,.1f} GiB for the network and {images / 2**30:,.1f} GiB for a batch at least, and a device "
            f"has {there / 2**30:,.1f} GiB: use smaller ones"
        )


def _calibration(
    config: Config, dataset: Dataset, train_data: Arrays | Stream, parallel: Parallel, broken: Callable
) -> Arrays:
    settings, train = config.importance, dataset.train
    size = input_of(train).calibration_size(settings.examples, train)
    if size == train.size and isinstance(train_data, Arrays):
        return train_data
    part = input_of(train).choose(train, size, config.seed, broken)
    if part.size < settings.shares:
        raise UserError(f"config.importance.shares={settings.shares}: only {part.size} calibration images")
    # On several hosts whole, because some methods fetch what they compute of each example.
    if part.size % parallel.mesh.size or jax.process_count() > 1:
        return hosts.replicate(part, parallel.replicated)
    return jax.device_put(part, parallel.sharded)


def _use_native_convolutions(parallel: Parallel) -> None:
    devices = parallel.mesh.size
    if devices > 1 and parallel.mode == "jit":
        raise UserError(
            f"config.convolutions='native': XLA cannot split it over the {devices} devices here; "
            "set config.devices=1, or use 'xla'"
        )
    native.load()
