"""The devices that share one global batch: jit over a mesh, or pmap. Both keep the state replicated, in one layout."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxstage.devices.cpu.xla import train_step_options
from jaxstage.errors import UserError

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

    def places(self, batch_size: int) -> jax.Array:
        """The places of a global batch, split over the devices as the compiled steps want it."""
        return self.split(jax.device_put(np.arange(batch_size, dtype=np.int32), self.sharded))

    def split(self, batch: Any) -> Any:
        """Arrays split along their first axis as the compiled steps want them: by jit as they are, by pmap with the
        devices as an axis of its own."""
        if self.mode == "jit":
            return batch
        return jax.tree.map(lambda leaf: leaf.reshape(self.mesh.size, -1, *leaf.shape[1:]), batch)

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


def memory() -> int:
    """Bytes that a device of this process has; those of a CPU share the machine's."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit") or (
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    )


def spread(function: Callable, parallel: Parallel, split: tuple[bool, ...]) -> Callable:
    """Compiles a training step over the devices.

    Args:
      function: of a state and more, `function(state, ...) -> (state, metrics)`; under jit the state is given up.
      parallel: the devices.
      split: which of its arguments are split over them, see `Parallel.split`; the others are replicated.
    """
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
