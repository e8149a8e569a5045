"""Examples that lie on the devices as a whole: the compiled programs pick their batches. See `jaxstage.train.inputs`."""

import contextlib
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.data import Arrays
from jaxstage.data.batches import one_pass
from jaxstage.data.dataset import divide
from jaxstage.devices import hosts
from jaxstage.devices.mesh import Parallel, spread
from jaxstage.keys import derive
from jaxstage.train.step import Batch, gather_batch, of_dispatch

STEPS_AT_ONCE = 32  # on accelerators; fewer where something is to be reported before


def place(split: Arrays, parallel: Parallel) -> Arrays:
    """The split on all devices."""
    return hosts.replicate(split, parallel.replicated)


def steps_at_once(asked: int | None, split: Arrays) -> int:
    """How many steps a dispatch does; asked, by the config, or None."""
    # XLA's CPU backend runs convolutions in loops many times slower.
    return asked or (STEPS_AT_ONCE if jax.default_backend() != "cpu" else 1)


def compile_step(step: Callable, parallel: Parallel, batch_size: int, steps: int = 1) -> Callable:
    """Makes the program of one dispatch.

    `program(state, data, order, rates, places, count, key) -> (state, metrics)` does `count` steps, in a loop on the
    devices. The trip count is no part of the program, so how a training run is cut into dispatches does not change its
    result. The state passed in is given up (donated) under jit.

    Its arguments, on the devices:
      state: TrainState.
      data: Arrays, the whole set.
      order: int32, the epoch's order of the examples.
      rates: float32 (steps of an epoch,), its learning rates.
      places: see `Parallel.places`.
      count: int32 scalar, at most `steps`.
      key: of the training.

    metrics: each float32 (steps,), of which the first `count` are set.

    Args:
      step: `step(state, batch, rate, key) -> (state, metrics)`.
      parallel: the devices.
      batch_size: of the global batch.
      steps: at most, of a dispatch; 1 leaves the loop out.
    """

    def one(state, data, order, rates, places, key):
        number = state.step % rates.shape[0]
        return step(state, gather_batch(number, data, order, places, batch_size), rates[number], key)

    def single(state, data, order, rates, places, count, key):
        return of_dispatch(*one(state, data, order, rates, places, key))

    def several(state, data, order, rates, places, count, key):
        def body(index, carry):
            state, metrics = one(carry[0], data, order, rates, places, key)
            return state, jax.tree.map(lambda all, value: all.at[index].set(value), carry[1], metrics)

        _, shapes = jax.eval_shape(one, state, data, order, rates, places, key)
        metrics = jax.tree.map(lambda shape: jnp.zeros(steps, shape.dtype), shapes)
        return jax.lax.fori_loop(0, count, body, (state, metrics))

    return spread(single if steps == 1 else several, parallel, (False, False, False, False, True, False, False))


@contextlib.contextmanager
def feed(
    data: Arrays,
    key: jax.Array,
    parallel: Parallel,
    *,
    batch_size: int,
    rates: np.ndarray,
    copies: int,
    workers: int | None = None,
    broken: Callable | None = None,
):
    """Yields the `Feed` of a training run; workers and broken are for streams alone."""
    yield Feed(data, key, parallel, batch_size, rates, copies)


class Feed:
    """The whole set with the order of the epoch: `feed(number, count)` are the program's arguments between state and
    key for the `count` steps after step `number`, all in one epoch."""

    def __init__(
        self, data: Arrays, key: jax.Array, parallel: Parallel, batch_size: int, rates: np.ndarray, copies: int = 1
    ):
        """Args: data, placed; key, of the training; rates, float32 (steps,); copies, how often an epoch shows each
        image."""
        self._data, self._key, self._copies, self._rates = data, key, copies, rates
        self._place = lambda value: hosts.replicate(value, parallel.replicated)
        self._steps_per_epoch = data.size * copies // batch_size
        self._places = parallel.places(batch_size)
        self._epoch, self._of_epoch, self._counts = None, None, {}

    def __call__(self, number: int, count: int) -> tuple:
        if self._epoch != (epoch := number // self._steps_per_epoch):
            order = epoch_order(derive(self._key, "epoch", epoch), self._data.size, self._copies)
            rates = self._rates[epoch * self._steps_per_epoch : (epoch + 1) * self._steps_per_epoch]
            self._epoch, self._of_epoch = epoch, (order, self._place(rates))
        if count not in self._counts:
            self._counts[count] = self._place(np.int32(count))
        return self._data, *self._of_epoch, self._places, self._counts[count]

    def ahead(self, number: int) -> tuple | None:
        """What a step will get, to compile for it now; None where that can be had only once."""
        return self(number, 1)


def epoch_order(key: jax.Array, size: int, copies: int) -> jax.Array:
    """The order in which an epoch visits the examples; what does not fill a batch is left out, others each time."""
    return jax.random.permutation(key, jnp.arange(size * copies, dtype=jnp.int32)) % size


def evaluation(
    step: Callable, data: Arrays, parallel: Parallel, batch_size: int, broken: Callable | None = None
) -> Callable:
    """Builds `evaluate(variables) -> {loss, accuracy}`, means over all examples of a split.

    Args:
      step: `step(variables, batch)` that sums over weighted examples; compiled here, with the examples split over the
        devices, in either mode.
      data: the split, placed.
      parallel: the devices that share a batch.
      batch_size: upper limit of the examples at a time.
    """
    replicated, sharded, devices = parallel.replicated, parallel.sharded, parallel.mesh.size

    def gathering(variables, data, index, weight):
        return step(variables, Batch(data.image[index], data.label[index], index, weight))

    program = jax.jit(gathering, in_shardings=(replicated, replicated, sharded, sharded), out_shardings=replicated)
    batches = math.ceil(data.size / batch_size)
    batch = math.ceil(data.size / batches / devices) * devices
    split = lambda array, dtype: jax.device_put(array.astype(dtype), sharded)
    parts = [(split(index, np.int32), split(new, np.float32)) for index, new in one_pass(data.size, batch)]

    def evaluate(variables) -> dict:
        sums = jax.device_get([program(variables, data, *part) for part in parts])
        return {name: float(sum(part[name] for part in sums)) / data.size for name in sums[0]}

    return evaluate


def batches(split: Arrays, batch_size: int, broken: Callable | None = None) -> Iterator[tuple]:
    """(images, labels, which of them count) of one pass, all of one size."""
    for index, new in one_pass(split.size, min(batch_size, split.size)):
        yield *split.take(index), new


def calibration_size(asked: int | None, train: Arrays) -> int:
    """How many training images importance looks at; asked, by the config: all of a smaller set, or with None."""
    return min(asked or train.size, train.size)


def choose(split: Arrays, number: int, seed: int, broken: Callable | None = None) -> Arrays:
    """So many of a split's images, classes in proportion; fewer than there are."""
    return divide(split, number, seed)[1]


def sample(split: Arrays, seed: int, broken: Callable | None = None) -> Arrays:
    """As many of a split's images as fit in memory easily: all of them."""
    return split
