"""Where a step's examples come from: a set that lies on the device, or a stream of batches from the host.

A feed is a function from the step's number to the step's arguments between state and key. Both kinds are functions of
the training's key and the step's number alone, so a training goes on anywhere as if it had never stopped.
"""
import collections
import contextlib
import os
from typing import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.data import Arrays, Stream
from jaxstage.data.streaming import EvaluationBatches, TrainingBatches, iterate
from jaxstage.random import derive
from jaxstage.train.parallel import Parallel
from jaxstage.train.step import Batch

AHEAD = 2  # batches on their way to the devices while a step runs


class ResidentFeed:
    """The whole set with the order of the epoch; the compiled step picks its batch."""

    def __init__(self, data: Arrays, key: jax.Array, steps_per_epoch: int, copies: int):
        """Args: data, on the device; key, of the training; copies, how often an epoch shows each image."""
        self._data, self._key, self._steps_per_epoch, self._copies = data, key, steps_per_epoch, copies
        self._epoch, self._order = None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __call__(self, number: int) -> tuple:
        if self._epoch != (epoch := number // self._steps_per_epoch):
            self._order = epoch_order(derive(self._key, "epoch", epoch), self._data.size, self._copies)
            self._epoch = epoch
        return self._data, self._order


def epoch_order(key: jax.Array, size: int, copies: int) -> jax.Array:
    """The order in which an epoch visits the examples; what does not fill a batch is left out, others each time."""
    return jax.random.permutation(key, jnp.arange(size * copies, dtype=jnp.int32)) % size


class StreamFeed:
    """Batches that worker processes make, on the devices before they are due. A context manager, which ends them."""

    def __init__(
        self, stream: Stream, key: jax.Array, parallel: Parallel, *, batch_size: int, start: int, steps: int,
        copies: int, workers: int | None, report: Callable[[np.ndarray, np.ndarray], None],
    ):  # fmt: skip
        """Args: see `jaxstage.data.streaming`; workers, None for one less than there are cores; report, told of every
        batch's (indices, status)."""
        words = tuple(np.asarray(jax.random.key_data(key)).tolist())
        places = parallel.local_places(batch_size)
        self._batches = TrainingBatches(stream, words, batch_size, places, start, steps, copies)
        self._workers = max((os.cpu_count() or 1) - 1, 1) if workers is None else workers
        self._parallel, self._report, self._due = parallel, report, start

    def __enter__(self):
        self._source = iterate(self._batches, self._workers)
        self._ahead = on_devices(self._source, self._parallel, self._report)
        return self

    def __exit__(self, *_):
        self._ahead.close()
        self._source.close()

    def __call__(self, number: int) -> tuple:
        if number != self._due:
            raise ValueError(f"step {number} asked for, {self._due} is due")
        self._due += 1
        return (next(self._ahead),)


def on_devices(batches: Iterator[dict], parallel: Parallel, report: Callable) -> Iterator[Batch]:
    """Global batches of this process's parts, `AHEAD` of their use, after `report(indices, status)` on each."""
    waiting = collections.deque()
    for part in batches:
        report(part["index"], part["status"])
        waiting.append(Batch(*(parallel.from_local(part[name]) for name in Batch._fields)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def evaluation_batches(stream: Stream, parallel: Parallel, batch_size: int, report: Callable) -> Iterator[Batch]:
    """One pass over a stream; what does not count has weight 0.

    Threads of this process make the batches: starting processes would take longer than most passes.
    """
    batch_size -= batch_size % parallel.mesh.size
    batches = EvaluationBatches(stream, batch_size, parallel.local_places(batch_size))
    with contextlib.closing(iterate(batches, workers=0)) as source:
        yield from on_devices(source, parallel, report)
