"""Runs as processes side by side: each with its own log and its share of the machine, all ended by one signal."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from jaxstage.errors import Stopped, UserError

LOOK_EVERY = 0.1  # seconds
ASK = "import jax; print(jax.default_backend(), jax.local_device_count())"


class Machine(NamedTuple):
    """What JAX finds here: cpu, gpu or tpu, and how many of them."""

    platform: str
    devices: int

    @property
    def jobs(self) -> int:
        """How many runs it takes side by side: one a GPU; the chips of a TPU and the cores of a CPU work together."""
        return self.devices if self.platform == "gpu" else 1


class Pool(NamedTuple):
    """How runs are made.

    Attributes:
      machine: what they run on.
      at_once: how many side by side, at least 1.
      stop_signal: asked for the number of a signal that came, or None.
    """

    machine: Machine
    at_once: int
    stop_signal: Callable[[], int | None]


class Job(NamedTuple):
    """A run to be made.

    Attributes:
      name: for people.
      about: what it is, said when it begins.
      arguments: of `python -m jaxstage`.
      log: where its output goes; what is there stays.
    """

    name: str
    about: str
    arguments: list[str]
    log: pathlib.Path


class Running(NamedTuple):
    """A job in its process, from `start` (monotonic seconds) on; its part of the log begins at byte `offset`."""

    job: Job
    process: subprocess.Popen
    slot: int
    start: float
    offset: int


def find_machine() -> Machine:
    """Asks JAX in a process of its own, which gives the devices back."""
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    if asked.returncode:
        reason = (_said(asked.stderr.splitlines()) or ["it says nothing"])[-1]
        raise UserError(f"JAX finds no device ({reason[:160]}): try JAX_PLATFORMS=cpu")
    platform, devices = asked.stdout.split()
    return Machine(platform, int(devices))


def run(jobs: list[Job], pool: Pool, begins: Callable[[Job], None], ends: Callable[[Job, float], None]) -> None:
    """Makes runs.

    Args:
      jobs: in the order in which they begin.
      pool: how.
      begins, ends: told of each, the latter with its seconds.

    Raises:
      UserError: a run failed, with what it said; the others were stopped and go on when they are made again.
      Stopped: a signal came; all runs have saved and ended.
    """
    waiting, running = list(jobs), []
    try:
        while waiting or running:
            if number := pool.stop_signal():
                raise Stopped(number)
            while waiting and len(running) < pool.at_once:
                slot = min(set(range(pool.at_once)) - {one.slot for one in running})
                begins(waiting[0])
                running.append(_start(waiting.pop(0), slot, pool))
            time.sleep(LOOK_EVERY)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                if one.process.returncode:
                    raise UserError(f"{one.job.name}: {_last_words(one)} (its log: {one.job.log})")
                ends(one.job, time.monotonic() - one.start)
    finally:
        for one in running:
            one.process.send_signal(signal.SIGTERM)
        for one in running:
            one.process.wait()


def _start(job: Job, slot: int, pool: Pool) -> Running:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "a") as log:
        offset = log.tell()
        # A process group of its own: of a Ctrl-C in the terminal it gets one signal, from us, not two.
        process = subprocess.Popen(
            [sys.executable, "-m", "jaxstage", *job.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | share(slot, pool.at_once, pool.machine, os.environ),
            process_group=0,
        )
    if pool.machine.platform == "cpu" and pool.at_once > 1 and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, cores[slot :: pool.at_once] or cores)  # before JAX counts them
    return Running(job, process, slot, time.monotonic(), offset)


def share(slot: int, at_once: int, machine: Machine, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that give the run in a slot its GPU, or its part of one that it shares.

    Example:
      share(1, 2, Machine("gpu", 2), {})  # {'CUDA_VISIBLE_DEVICES': '1'}

    Args:
      slot: from 0 to at_once - 1.
      at_once: how many runs there are side by side.
      machine: what they run on.
      environment: what the variables are now.
    """
    if machine.platform != "gpu":
        return {}
    names = environment.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(machine.devices)))
    alone = {} if at_once <= machine.devices else {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {"CUDA_VISIBLE_DEVICES": names.split(",")[slot % machine.devices], **alone}


def _last_words(ended: Running) -> str:
    """The one line that a run's end is told by, or the last line of what else it said."""
    if ended.process.returncode < 0:
        return f"killed by signal {-ended.process.returncode}; the same command continues"
    with open(ended.job.log, errors="replace") as log:
        log.seek(ended.offset)
        lines = _said(log)
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (told or lines or [f"it ended with code {ended.process.returncode}"])[-1]


def _said(output: Iterable[str]) -> list[str]:
    """The lines of a program's output in which there is something."""
    return [line.strip() for line in output if line.strip()]
