"""Spreading one global batch over devices: jit over a mesh, or pmap. Both keep the state replicated, in one layout."""
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxstage.errors import UserError
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


def set_up(mode: str, devices: int | None, batch_size: int) -> Parallel:
    """Takes the devices and makes sure that the batch divides over them.

    Raises:
      UserError: more devices asked for than there are, or a batch that does not divide.
    """
    available = jax.devices()
    if devices is not None and devices > len(available):
        raise UserError(f"config.devices={devices}: only {len(available)} {available[0].platform} device(s) here")
    available = available[:devices]
    if batch_size % len(available):
        raise UserError(
            f"config.batch_size={batch_size} does not divide over {len(available)} devices: "
            f"use a multiple of {len(available)}, or fewer devices with config.devices"
        )
    return Parallel(mode, Mesh(np.array(available), (AXIS,)))


def compile_train_step(step: Callable, parallel: Parallel, batch_size: int) -> Callable:
    """Makes `step(state, data, order, key)` of the global `step(state, data, order, position, key)`.

    The state passed in is given up (donated) under jit.
    """
    replicated, devices = parallel.replicated, parallel.mesh.size
    position = jnp.arange(batch_size, dtype=jnp.int32)
    if parallel.mode == "pmap":
        position = jax.device_put(position.reshape(devices, -1), parallel.sharded)
        spread = jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, None, None, 0, None),
            out_axes=(None, None),
            devices=list(parallel.mesh.devices.flat),
        )
    else:
        position = jax.device_put(position, parallel.sharded)
        spread = jax.jit(
            step,
            in_shardings=(replicated, replicated, replicated, parallel.sharded, replicated),
            out_shardings=(replicated, replicated),
            donate_argnums=0,
            compiler_options=train_step_options(),
        )
    return lambda state, data, order, key: spread(state, data, order, position, key)


def compile_eval_step(step: Callable, parallel: Parallel) -> Callable:
    """jits `step(variables, data, index, weight)` with the examples split over the devices, in either mode."""
    replicated, sharded = parallel.replicated, parallel.sharded
    return jax.jit(step, in_shardings=(replicated, replicated, sharded, sharded), out_shardings=replicated)
