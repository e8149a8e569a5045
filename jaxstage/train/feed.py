"""Where a step's examples come from: a set that lies on the device, or a stream of batches from the host.

A feed is a function from the step's number to the step's arguments between state and key. Both kinds are functions of
the training's key and the step's number alone, so a training goes on anywhere as if it had never stopped.
"""
import jax
import jax.numpy as jnp

from jaxstage.data import Arrays
from jaxstage.random import derive


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
