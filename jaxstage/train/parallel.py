"""Spreading one global batch over devices: jit over a mesh, or pmap. Both keep the state replicated, in one layout."""
from typing import Callable, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxstage.errors import UserError
from jaxstage.train.step import Batch, gather_batch
from jaxstage.xla_cpu import train_step_options

AXIS = "batch"


class Parallel(NamedTuple):
    """How a step is spread.

    Attributes:
      mode: jit or pmap.
      mesh: one axis, `batch`, over the devices in use.
    """

    mode: str
    mesh: Mesh

    @property
    def axis_name(self) -> str | None:
        """The axis that the step itself has to average over."""
        return AXIS if self.mode == "pmap" else None

    @property
    def replicated(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def sharded(self) -> NamedSharding:
        """Split along the first axis."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    def local_places(self, batch_size: int) -> range:
        """Which places of a global batch this process's devices compute."""
        share = batch_size // self.mesh.size
        devices = list(self.mesh.devices.flat)
        mine = [place for place, device in enumerate(devices) if device.process_index == jax.process_index()]
        return range(mine[0] * share, (mine[-1] + 1) * share)

    def from_local(self, part: np.ndarray) -> jax.Array:
        """A global array, split along its first axis, of the parts that the processes have in their `local_places`."""
        return jax.make_array_from_process_local_data(self.sharded, part)


def set_up(mode: str, devices: int | None, batch_size: int) -> Parallel:
    """Takes the devices and makes sure that the batch divides over them.

    Raises:
      UserError: more devices asked for than there are, or a batch that does not divide.
    """
    available = jax.devices()
    if devices is not None and devices > len(available):
        raise UserError(f"config.devices={devices}: only {len(available)} {available[0].platform} device(s) here")
    available = available[:devices]
    if jax.process_count() > 1 and (devices is not None or mode == "pmap"):
        raise UserError(
            f"config.devices={devices}, config.parallel={mode!r}: several hosts use all their devices, by jit; "
            "leave both out"
        )
    if batch_size % len(available):
        raise UserError(
            f"config.batch_size={batch_size} does not divide over {len(available)} devices: "
            f"use a multiple of {len(available)}, or fewer devices with config.devices"
        )
    return Parallel(mode, Mesh(np.array(available), (AXIS,)))


def compile_train_step(step: Callable, parallel: Parallel, batch_size: int) -> Callable:
    """Makes `step(state, data, order, key)`, for a training set on the device, of `step(state, batch, key)`.

    The state passed in is given up (donated) under jit.
    """

    def gathering(state, data, order, position, key):
        return step(state, gather_batch(state.step, data, order, position, batch_size), key)

    position = np.arange(batch_size, dtype=np.int32)
    if parallel.mode == "pmap":
        position = jax.device_put(position.reshape(parallel.mesh.size, -1), parallel.sharded)
        spread = _pmap(gathering, (None, None, None, 0, None), parallel)
    else:
        replicated = parallel.replicated
        position = jax.device_put(position, parallel.sharded)
        spread = _jit(gathering, (replicated, replicated, replicated, parallel.sharded, replicated), parallel)
    return lambda state, data, order, key: spread(state, data, order, position, key)


def compile_stream_step(step: Callable, parallel: Parallel) -> Callable:
    """Makes `step(state, batch, key)` for global batches that come from the host, split along their first axis."""
    if parallel.mode == "pmap":
        split = lambda leaf: leaf.reshape(parallel.mesh.size, -1, *leaf.shape[1:])
        spread = _pmap(step, (None, 0, None), parallel)
        return lambda state, batch, key: spread(state, jax.tree.map(split, batch), key)
    return _jit(step, (parallel.replicated, parallel.sharded, parallel.replicated), parallel)


def _pmap(step: Callable, in_axes: tuple, parallel: Parallel) -> Callable:
    devices = list(parallel.mesh.devices.flat)
    return jax.pmap(step, axis_name=AXIS, in_axes=in_axes, out_axes=(None, None), devices=devices)


def _jit(step: Callable, in_shardings: tuple, parallel: Parallel) -> Callable:
    return jax.jit(
        step, in_shardings=in_shardings, out_shardings=(parallel.replicated, parallel.replicated), donate_argnums=0,
        compiler_options=train_step_options(),
    )  # fmt: skip


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
