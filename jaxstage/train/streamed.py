"""Examples that stay on disk: the host makes the batches, ahead of their use. See `jaxstage.train.inputs`."""

import collections
import contextlib
import os
from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxstage.data import Arrays, Stream
from jaxstage.data.dataset import divide
from jaxstage.data.streaming import EvaluationBatches, TrainingBatches, iterate
from jaxstage.devices import hosts
from jaxstage.devices.mesh import Parallel, spread
from jaxstage.errors import UserError
from jaxstage.train.step import Batch, of_dispatch

AHEAD = 2  # batches on their way to the devices while a step runs
MOST_SAMPLED = 4096  # images


def place(split: Stream, parallel: Parallel) -> Stream:
    """The split as it is."""
    return split


def steps_at_once(asked: int | None, split: Stream) -> int:
    """One step a dispatch; asked, by the config, or None.

    Raises:
      UserError: more are asked for.
    """
    if (asked or 1) > 1:
        raise UserError(
            f"config.steps_per_dispatch={asked}: the images of {split.name} are streamed, one batch after the other: "
            "leave it out"
        )
    return 1


def compile_step(step: Callable, parallel: Parallel, batch_size: int, steps: int = 1) -> Callable:
    """Makes the program of one step, `program(state, batch, rate, key) -> (state, metrics)`, for global batches that
    come from the host, see `Parallel.split`. The state passed in is given up (donated) under jit.

    metrics: each float32 (1,).

    Args:
      step: `step(state, batch, rate, key) -> (state, metrics)`.
      parallel: the devices.
      batch_size, steps: the batches say the one, and the other is 1.
    """
    return spread(lambda *arguments: of_dispatch(*step(*arguments)), parallel, (False, True, False, False))


@contextlib.contextmanager
def feed(
    data: Stream,
    key: jax.Array,
    parallel: Parallel,
    *,
    batch_size: int,
    rates: np.ndarray,
    copies: int,
    workers: int | None = None,
    broken: Callable,
):
    """Yields the `Feed` of a training run; ends the processes that make its batches.

    Args:
      data: the training set.
      key: of the training.
      parallel: the devices.
      batch_size: of the global batch.
      rates: float32 (steps,).
      copies: how often an epoch shows each image.
      workers: processes; None for one less than there are cores.
      broken: see `jaxstage.train.inputs`.
    """
    words = tuple(np.asarray(jax.random.key_data(key)).tolist())
    places = parallel.local_places(batch_size)
    workers = max((os.cpu_count() or 1) - 1, 1) if workers is None else workers
    with contextlib.ExitStack() as made:

        def begin(start: int) -> Iterator[Batch]:
            batches = iterate(TrainingBatches(data, words, batch_size, places, start, len(rates), copies), workers)
            made.callback(batches.close)
            made.callback((global_batches := on_devices(batches, parallel, broken(data))).close)
            return global_batches

        yield Feed(begin, parallel, rates)


class Feed:
    """Batches on the devices before they are due: `feed(number, 1)` are the program's arguments between state and key
    for step `number`. The first may be any, the others have to follow."""

    def __init__(self, begin: Callable[[int], Iterator[Batch]], parallel: Parallel, rates: np.ndarray):
        """Args: begin, the batches from a step on; rates, float32 (steps,)."""
        self._begin, self._parallel, self._rates = begin, parallel, rates
        self._batches, self._due = None, None

    def __call__(self, number: int, count: int) -> tuple:
        if self._batches is None:
            self._batches, self._due = self._begin(number), number
        if (number, count) != (self._due, 1):
            raise ValueError(f"{count} steps from {number} on asked for, step {self._due} alone is due")
        self._due += 1
        rate = hosts.replicate(self._rates[number], self._parallel.replicated)
        return self._parallel.split(next(self._batches)), rate

    def ahead(self, number: int) -> tuple | None:
        """What a step will get, to compile for it now; None, because a batch can be had only once."""
        return None


def on_devices(batches: Iterator[dict], parallel: Parallel, report: Callable) -> Iterator[Batch]:
    """Global batches of this process's parts, `AHEAD` of their use, after `report(indices, status)` on each."""
    waiting = collections.deque()
    for part in batches:
        report(part["index"], part["status"])
        waiting.append(Batch(*(parallel.from_local(part[name]) for name in Batch._fields)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def evaluation(step: Callable, data: Stream, parallel: Parallel, batch_size: int, broken: Callable) -> Callable:
    """Builds `evaluate(variables) -> {loss, accuracy}`, means over the examples of a split that can be read.

    Threads of this process make the batches: starting processes would take longer than most passes.

    Args:
      step: `step(variables, batch)` that sums over weighted examples; compiled here, with the examples split over the
        devices, in either mode.
      data: the split.
      parallel: the devices that share a batch.
      batch_size: upper limit of the examples at a time.
      broken: see `jaxstage.train.inputs`.
    """
    program = jax.jit(step, in_shardings=(parallel.replicated, parallel.sharded), out_shardings=parallel.replicated)
    batch_size -= batch_size % parallel.mesh.size
    batches = EvaluationBatches(data, batch_size, parallel.local_places(batch_size))

    def evaluate(variables) -> dict:
        with contextlib.closing(iterate(batches, workers=0)) as source:
            read = on_devices(source, parallel, broken(data))
            sums = [(program(variables, batch), batch.weight.sum()) for batch in read]
        sums = [{**values, "weight": weight} for values, weight in jax.device_get(sums)]
        total = {name: float(sum(part[name] for part in sums)) for name in sums[0]}
        return {name: total[name] / total["weight"] for name in ("loss", "accuracy")}

    return evaluate


def batches(split: Stream, batch_size: int, broken: Callable) -> Iterator[tuple]:
    """(images, labels, which of them count) of one pass, all of one size."""
    batch, report = min(batch_size, split.size), broken(split)
    for part in iterate(EvaluationBatches(split, batch, range(batch)), workers=0):
        report(part["index"], part["status"])
        yield part["image"], part["label"], part["weight"] > 0


def calibration_size(asked: int | None, train: Stream) -> int:
    """How many training images importance looks at; asked, by the config: all of a smaller set.

    Raises:
      UserError: all are asked for, None, of more than fit in memory easily.
    """
    if asked is None and train.size > MOST_SAMPLED:
        raise UserError("config.importance.examples=None: a streamed set is too large for that, give a number")
    return min(asked or train.size, train.size)


def choose(split: Stream, number: int, seed: int, broken: Callable) -> Arrays:
    """So many of a split's images, at random, without those that cannot be read; or all."""
    part = split if number == split.size else divide(split, number, seed)[1]
    return Arrays(*part.read(broken(split)))


def sample(split: Stream, seed: int, broken: Callable) -> Arrays:
    """As many of a split's images as fit in memory easily."""
    if split.size > MOST_SAMPLED:
        return choose(split, MOST_SAMPLED, seed, broken)
    return Arrays(*split.read(broken(split)))
