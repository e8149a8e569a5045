"""Starts programs quickly: a process that has imported what they need, and of which each is a fork.

It reads orders from standard input, one JSON object a line, and carries them out one after the other: {module, argv, out,
err, environment, plan, root, counts}, the last three for `storage.arm`. It answers {pid} when the program has begun
and {pid, status} when it has ended; the process stays a zombie until the next order, so that its number is nobody
else's. Nothing here touches a device: like a program of its own, each fork starts its backend itself.
"""

import gc
import json
import os
import runpy
import sys

from jaxstage import files
from tests.chaos import storage

NEEDED = (
    "absl.app",
    "jaxstage.cli.flags",
    "jaxstage.run",
    "jaxstage.depth_search.driver",
    "jaxstage.depth_search.bench",
    "jaxstage.devices.energy",
    "jaxstage.report.html.page",
    "jaxstage.workdir.networks",
    "jinja2",
    "sklearn.datasets",
)


def serve() -> dict | None:
    """Answers orders; returns in each fork, with its order, and in this process when there are no more."""
    ended = None
    while line := sys.stdin.readline():
        if ended is not None:
            os.waitpid(ended, 0)
        order, pid = json.loads(line), os.fork()
        if pid == 0:
            return order
        _answer(pid=pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        ended = pid
        _answer(pid=pid, status=_status(pid))
    return None


def begin(order: dict) -> None:
    """Makes a fork what a process of its own would be."""
    os.setsid()
    for path, flags, number in (
        (os.devnull, os.O_RDONLY, 0),
        (order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 1),
        (order["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 2),
    ):
        file = os.open(path, flags, 0o644)
        os.dup2(file, number)
        os.close(file)
    os.environ.update(order["environment"])
    sys.argv = [order["module"], *order["argv"]]
    files.PAUSES = tuple(pause / 50 for pause in files.PAUSES)  # or most of a storm would be waiting
    storage.arm(storage.Plan(**order["plan"]), order["root"], order["counts"])


def _status(pid: int) -> int:
    """As subprocess has it: the exit code, or less than 0 for a signal."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _answer(**told) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    for name in NEEDED:
        __import__(name)
    gc.collect()
    gc.freeze()  # or the first collection would copy every page into each fork
    if order := serve():
        begin(order)
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
