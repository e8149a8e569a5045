"""A grid of long measurements that can be killed and run again: each cell has a directory, finished ones are skipped.

A cell is a function of a directory that returns plain data. What it returns is kept in DIRECTORY/result.json, written
in one move, so a cell is finished or it is not. What it prints goes to DIRECTORY/log.txt. Cells that run
`jaxstage.run.run` there go on where they were killed, too.
"""

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

from jaxstage.files import write_json

RESULT, LOG = "result.json", "log.txt"


class Cell(NamedTuple):
    """One measurement.

    Attributes:
      name: its directory below the grid's root, like `cifar10/found/seed0`.
      function: `function(workdir, *arguments) -> dict` that JSON can hold; importable by its name.
      arguments: the others; picklable.
    """

    name: str
    function: Callable
    arguments: tuple = ()


def run(cells: list[Cell], root: pathlib.Path, jobs: int = 1) -> dict[str, dict]:
    """Runs what is not finished and returns all results by name, in the order of `cells`.

    Args:
      cells: with names that differ.
      root: directory of the grid.
      jobs: processes that work side by side, each on its share of the cores: small networks do not fill two.

    Raises:
      RuntimeError: cells failed; what they said is in their logs, and the others are finished.
    """
    waiting = [cell for cell in cells if not (root / cell.name / RESULT).exists()]
    print(f"{root}: {len(cells)} cells, {len(cells) - len(waiting)} of them finished", flush=True)
    failed, spawn = [], multiprocessing.get_context("spawn")
    places = spawn.SimpleQueue()
    for place in range(jobs):
        places.put(place)
    with concurrent.futures.ProcessPoolExecutor(jobs, spawn, _take_cores, (places, jobs)) as pool:
        names = {pool.submit(_measure, cell, root / cell.name): cell.name for cell in waiting}
        for number, future in enumerate(concurrent.futures.as_completed(names), 1):
            name, error = names[future], future.exception()
            if error:
                failed.append(name)
            outcome = f"failed: {error!r}" if error else f"{future.result():.0f} s"
            print(f"[{number}/{len(waiting)}] {name}: {outcome}", flush=True)
    if failed:
        raise RuntimeError(
            f"{len(failed)} cells failed, see {root / failed[0] / LOG}; the same command tries them again"
        )
    return {cell.name: json.loads((root / cell.name / RESULT).read_text()) for cell in cells}


def _take_cores(places, jobs: int):
    """Gives this process its share of the cores, before JAX counts them."""
    cores = sorted(os.sched_getaffinity(0))
    if mine := cores[places.get() :: jobs]:
        os.sched_setaffinity(0, mine)


def _measure(cell: Cell, workdir: pathlib.Path) -> float:
    """Runs a cell and keeps its result; returns the seconds that it took."""
    import jax

    workdir.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with (workdir / LOG).open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        result = cell.function(workdir, *cell.arguments)
    write_json(workdir / RESULT, result)
    jax.clear_caches()  # a grid has hundreds of programs, which would fill the memory
    return time.monotonic() - start
