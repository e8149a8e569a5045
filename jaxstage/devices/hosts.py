"""Several processes that run one program together, one a host; with a single process nothing here does anything.

All processes take the same decisions in the same order, from the same data and key. Process 0, the primary one, alone
claims the work directory and writes into it, except for checkpoints, which Orbax writes together. The work directory
must lie on storage that all of them share.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxstage.errors import UserError, first_line

AUTO = "auto"
SIGNAL_EVERY = 8  # calls of a stop signal between two agreements on it, each of which waits for the devices


def connect(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Joins the other processes; to be called before anything uses a device.

    Args:
      coordinator: HOST:PORT of process 0; `auto`: what JAX finds out of the cluster; None: the same, if the environment
        is a SLURM job step of several tasks or a TPU slice of several workers.
      processes, process: how many there are and which this is; with HOST:PORT.

    Raises:
      UserError: the flags do not fit together, or the others cannot be reached.
    """
    explicit = coordinator not in (None, AUTO)
    if explicit != (processes is not None) or explicit != (process is not None):
        raise UserError("--coordinator=HOST:PORT, --num_processes and --process_id belong together: give all or none")
    if explicit and not 0 <= process < processes:
        raise UserError(f"--process_id={process}: must lie between 0 and {processes - 1} (--num_processes less one)")
    if coordinator is None and not _in_cluster(os.environ):
        return
    try:
        if explicit:
            jax.distributed.initialize(coordinator, processes, process)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot join the other processes ({first_line(error)}): check that all run, and --coordinator"
        ) from error


def _in_cluster(environment) -> bool:
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    return tasks > 1 or len(environment.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1


def primary() -> bool:
    return jax.process_index() == 0


def wait(what: str) -> None:
    """Waits until all processes have come here; `what` names the place."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def on_primary(function: Callable, *arguments) -> Any:
    """Calls a function on process 0 while the others wait; its UserError is raised by all.

    Returns:
      What the function returns, plain data; the other processes get it as JSON has it: a tuple is a list there.
    """
    if jax.process_count() == 1:
        return function(*arguments)
    answer: dict = {}
    if primary():
        try:
            answer = {"result": function(*arguments)}
        except UserError as error:
            answer = {"error": str(error)}
    told = json.dumps(answer).encode()
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(told))))
    sent = np.frombuffer(told.ljust(size), np.uint8)  # the others have less to tell
    answer = json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(sent)).astype(np.uint8)))
    if "error" in answer:
        raise UserError(answer["error"])
    return answer["result"]


def agreed(stop_signal: Callable[[], int | None]) -> Callable[[], int | None]:
    """A stop signal that all processes see at the same call, though it came to one of them.

    Every process has to call it equally often.
    """
    if jax.process_count() == 1:
        return stop_signal
    calls = 0

    def ask() -> int | None:
        nonlocal calls
        calls += 1
        if calls % SIGNAL_EVERY:
            return None
        return int(multihost_utils.process_allgather(np.int32(stop_signal() or 0)).max()) or None

    return ask


def replicate(tree: Any, sharding: jax.sharding.NamedSharding) -> Any:
    """A tree that every process has in full, as arrays on all devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def place(leaf):
        if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
            return leaf
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(leaf)))
        # Not device_put, which would send the whole array around to see that all have the same.
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf), leaf.shape)

    return jax.tree.map(place, tree)
