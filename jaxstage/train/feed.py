"""Where a step's examples come from: a set that lies on the device, or a stream of batches from the host.

A feed is a function from the step's number, and how many steps are to be done at once, to the program's arguments
between state and key: examples and learning rates. Both kinds are functions of the training's key and the step's number
alone, so a training run goes on anywhere as if it had never stopped.
"""

import collections
import contextlib
import os
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.data import Arrays, Stream
from jaxstage.data.streaming import EvaluationBatches, TrainingBatches, iterate
from jaxstage.devices import hosts
from jaxstage.devices.mesh import Parallel
from jaxstage.keys import derive
from jaxstage.train.step import Batch

AHEAD = 2  # batches on their way to the devices while a step runs


class ResidentFeed:
    """The whole set with the order of the epoch; the program picks its batches. See `compile_train_step`."""

    def __init__(
        self,
        data: Arrays,
        key: jax.Array,
        parallel: Parallel,
        *,
        batch_size: int,
        rates: np.ndarray,
        steps_per_epoch: int,
        copies: int,
    ):
        """Args: data, on the device; key, of the training; rates, float32 (steps,); copies, how often an epoch shows
        each image."""
        self._data, self._key, self._parallel, self._copies = data, key, parallel, copies
        self._rates, self._steps_per_epoch = rates, steps_per_epoch
        self._places = parallel.places(batch_size)
        self._epoch, self._of_epoch, self._counts = None, None, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __call__(self, number: int, count: int) -> tuple:
        if self._epoch != (epoch := number // self._steps_per_epoch):
            order = epoch_order(derive(self._key, "epoch", epoch), self._data.size, self._copies)
            rates = self._rates[epoch * self._steps_per_epoch : (epoch + 1) * self._steps_per_epoch]
            self._epoch, self._of_epoch = epoch, (order, self._on_devices(rates))
        if count not in self._counts:
            self._counts[count] = self._on_devices(np.int32(count))
        return self._data, *self._of_epoch, self._places, self._counts[count]

    def _on_devices(self, value: np.ndarray) -> jax.Array:
        return hosts.replicate(value, self._parallel.replicated)


def epoch_order(key: jax.Array, size: int, copies: int) -> jax.Array:
    """The order in which an epoch visits the examples; what does not fill a batch is left out, others each time."""
    return jax.random.permutation(key, jnp.arange(size * copies, dtype=jnp.int32)) % size


class StreamFeed:
    """Batches that worker processes make, on the devices before they are due. A context manager, which ends them."""

    def __init__(
        self,
        stream: Stream,
        key: jax.Array,
        parallel: Parallel,
        *,
        batch_size: int,
        start: int,
        steps: int,
        rates: np.ndarray,
        copies: int,
        workers: int | None,
        report: Callable[[np.ndarray, np.ndarray], None],
    ):
        """Args: see `jaxstage.data.streaming`; rates, float32 (steps,); workers, None for one less than there are
        cores; report, told of every batch's (indices, status)."""
        words = tuple(np.asarray(jax.random.key_data(key)).tolist())
        places = parallel.local_places(batch_size)
        self._batches = TrainingBatches(stream, words, batch_size, places, start, steps, copies)
        self._workers = max((os.cpu_count() or 1) - 1, 1) if workers is None else workers
        self._parallel, self._report, self._rates, self._due = parallel, report, rates, start

    def __enter__(self):
        self._source = iterate(self._batches, self._workers)
        self._ahead = on_devices(self._source, self._parallel, self._report)
        return self

    def __exit__(self, *_):
        self._ahead.close()
        self._source.close()

    def __call__(self, number: int, count: int) -> tuple:
        if (number, count) != (self._due, 1):
            raise ValueError(f"{count} steps from {number} on asked for, step {self._due} alone is due")
        self._due += 1
        rate = hosts.replicate(self._rates[number], self._parallel.replicated)
        return self._parallel.split(next(self._ahead)), rate


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
