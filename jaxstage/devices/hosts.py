"""Several processes that run one program together, one a host; with a single process nothing here does anything.

All processes take the same decisions in the same order, from the same data and key. Process 0, the primary one, alone
claims the work directory and writes into it, except for checkpoints, which Orbax writes together. The work directory
must lie on storage that all of them share.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax._src.clusters import ClusterEnv
from jax.experimental import multihost_utils

import jaxstage
from jaxstage.devices import meeting, relay
from jaxstage.errors import Stopped, UserError, first_line

AUTO = "auto"
STOPPED_AT_MOST = 600  # seconds; a process that is stopped for longer, by a debugger say, is given up by JAX
SIGNAL_EVERY = 8  # calls of a stop signal between two agreements on it, each of which waits for the devices


@contextlib.contextmanager
def together(cluster: tuple[str | None, int | None, int | None], about: dict):
    """Joins the other processes while the context lasts; to be entered before anything uses a device.

    If one of them is lost, this process ends with a clear line; if this one leaves with an error, so do the others.

    Args:
      cluster: the coordinator, HOST:PORT of process 0, or `auto`: what JAX finds out of the cluster, or None: the same,
        if the environment is a SLURM job step of several tasks or a TPU slice of several workers; with HOST:PORT also
        how many processes there are and which this is, else None twice.
      about: in what all have to be the same: plain data by names.

    Raises:
      UserError: the flags do not fit together, or the processes do not, or they cannot reach each other.
    """
    place = _place(*cluster)
    if place is None:
        yield
        return
    address, processes, process = place
    about = {"jaxstage": jaxstage.__version__, "jax": jax.__version__, **about}
    line = meeting.meet(address, processes, process, about, lambda text: print(text, file=sys.stderr, flush=True))
    watch, passing = meeting.Watch(line, processes), None
    try:
        if process:
            passing, address = _start_relay(line.connection.getpeername())
        _initialize(address, processes, process)
        yield
    except Stopped:  # all at the same call
        _part(watch, passing)
        raise
    except BaseException as error:
        watch.fail(first_line(error))
        atexit.register(_leave)  # before JAX's own, which waits for the others
        raise
    _part(watch, passing)


def _place(coordinator: str | None, processes: int | None, process: int | None):
    """Address of process 0, number of processes, which this is; None: it is alone."""
    explicit = coordinator not in (None, AUTO)
    if explicit != (processes is not None) or explicit != (process is not None):
        raise UserError("--coordinator=HOST:PORT, --num_processes and --process_id belong together: give all or none")
    if explicit and not 0 <= process < processes:
        raise UserError(f"--process_id={process}: must lie between 0 and {processes - 1} (--num_processes less one)")
    if coordinator is None and not _in_cluster(os.environ):
        return None
    if not explicit:
        coordinator, processes, process, _ = ClusterEnv.auto_detect_unset_distributed_params(
            *(None,) * 5, int(meeting.LIMIT)
        )
        if None in (coordinator, processes, process):
            raise UserError("--coordinator=auto: JAX finds no cluster here; give HOST:PORT")
    return _address(coordinator), processes, process


def _address(coordinator: str) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UserError(f"--coordinator={coordinator}: must be HOST:PORT, the port from 1 to 65535, or auto")
    return host.strip("[]"), int(port)


def _initialize(address: tuple[str, int], processes: int, process: int) -> None:
    host, port = address
    try:
        jax.distributed.initialize(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            processes,
            process,
            initialization_timeout=int(meeting.LIMIT),
            heartbeat_timeout_seconds=STOPPED_AT_MOST,
            shutdown_timeout_seconds=STOPPED_AT_MOST,
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot join the other processes ({first_line(error)}): check that all run, and --coordinator"
        ) from error


def _start_relay(server: tuple) -> tuple[subprocess.Popen, tuple[str, int]]:
    """Starts jaxstage/devices/relay.py to process 0; returns it and where to reach it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = (str(listener.fileno()), server[0], str(server[1]))
        # It inherits that signals which go to all processes of a job are held back: it has to live as long as this one.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            passing = subprocess.Popen(
                [sys.executable, "-I", "-S", relay.__file__, *arguments],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if {"grpc_proxy", "https_proxy", "http_proxy"} & os.environ.keys():  # through which JAX would look for it
            os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1"]))
        return passing, listener.getsockname()


def _part(watch: meeting.Watch, passing: subprocess.Popen | None) -> None:
    jax.distributed.shutdown()  # while the others are watched, for whom it waits
    watch.finish()
    if passing:
        passing.communicate()


def _leave() -> None:
    sys.stdout.flush()
    os._exit(1)


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
