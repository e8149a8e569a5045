"""Compiled programs of steps whose batch is spread over devices, see `jaxstage.devices.mesh`; the state is replicated."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxstage.devices.cpu.xla import train_step_options
from jaxstage.devices.mesh import AXIS, Parallel
from jaxstage.train.step import Batch, gather_batch


def compile_train_step(step: Callable, parallel: Parallel, batch_size: int, steps: int = 1) -> Callable:
    """Makes the program of one dispatch, for a training set that lies on the devices.

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
      steps: 1 leaves the loop out: XLA's CPU backend runs convolutions in loops many times slower.
    """

    def one(state, data, order, rates, places, key):
        number = state.step % rates.shape[0]
        return step(state, gather_batch(number, data, order, places, batch_size), rates[number], key)

    def single(state, data, order, rates, places, count, key):
        return _as_list(one(state, data, order, rates, places, key))

    def several(state, data, order, rates, places, count, key):
        def body(index, carry):
            state, metrics = one(carry[0], data, order, rates, places, key)
            return state, jax.tree.map(lambda all, value: all.at[index].set(value), carry[1], metrics)

        _, shapes = jax.eval_shape(one, state, data, order, rates, places, key)
        metrics = jax.tree.map(lambda shape: jnp.zeros(steps, shape.dtype), shapes)
        return jax.lax.fori_loop(0, count, body, (state, metrics))

    split = (False, False, False, False, True, False, False)
    return _spread(single if steps == 1 else several, parallel, split)


def compile_stream_step(step: Callable, parallel: Parallel) -> Callable:
    """Makes the program of one step, `program(state, batch, rate, key)`, for global batches that come from the host,
    see `Parallel.split`. Its metrics are of shape (1,)."""
    return _spread(lambda *arguments: _as_list(step(*arguments)), parallel, (False, True, False, False))


def _as_list(outcome: tuple) -> tuple:
    state, metrics = outcome
    return state, jax.tree.map(lambda value: value[None], metrics)


def _spread(function: Callable, parallel: Parallel, split: tuple[bool, ...]) -> Callable:
    """A function of a state and more over the devices; split, which of its arguments are split over them."""
    if parallel.mode == "pmap":
        devices, axes = list(parallel.mesh.devices.flat), tuple(0 if is_split else None for is_split in split)
        return jax.pmap(function, axis_name=AXIS, in_axes=axes, out_axes=(None, None), devices=devices)
    return jax.jit(
        function,
        in_shardings=tuple(parallel.sharded if is_split else parallel.replicated for is_split in split),
        out_shardings=(parallel.replicated, parallel.replicated),
        donate_argnums=0,
        compiler_options=train_step_options(),
    )


def compile_eval_step(step: Callable, parallel: Parallel) -> Callable:
    """Makes `step(variables, data, index, weight)`, for a split on the device, of `step(variables, batch)`.

    The examples are split over the devices, in either mode.
    """
    replicated, sharded = parallel.replicated, parallel.sharded

    def gathering(variables, data, index, weight):
        return step(variables, Batch(data.image[index], data.label[index], index, weight))

    return jax.jit(gathering, in_shardings=(replicated, replicated, sharded, sharded), out_shardings=replicated)


def compile_stream_eval_step(step: Callable, parallel: Parallel) -> Callable:
    """jits `step(variables, batch)` with the batch's examples split over the devices, in either mode."""
    return jax.jit(step, in_shardings=(parallel.replicated, parallel.sharded), out_shardings=parallel.replicated)
