"""Two processes of which one is lost or makes a mistake: the other one ends, and says why."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from conftest import REPOSITORY

PROGRAM = """
import sys
import jax
from jax._src.distributed import global_state
from jaxstage.cli.ends import clear_ends, quiet
from jaxstage.devices import hosts
from jaxstage.errors import UserError

place, process, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
quiet()
with clear_ends(), hosts.together((place, 2, process), {}):
    hosts.wait("begin")
    print("together", flush=True)
    if what == "training":
        while True:
            hosts.wait("each step")
    if what == "saving" and process == 0:  # as Orbax waits for the others
        global_state.client.wait_at_barrier("saving", 600_000)
    if what == "saving":
        sys.stdin.read()
    if what == "mistake" and process == 1:
        raise UserError("no data there")
    hosts.wait("end")
print("finished")
"""


@pytest.fixture
def start():
    """Starts two such processes; none is left running."""
    started = []

    def pair(what):
        started.extend(_pair(what))
        return started

    yield pair
    for process in started:
        process.kill()
        process.communicate()


def _pair(what):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, f"localhost:{port}", str(process), what],
            cwd=REPOSITORY,
            env={**os.environ, "XLA_FLAGS": ""},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for process in (0, 1)
    ]


@pytest.mark.parametrize("what, killed", [("training", 0), ("saving", 0), ("training", 1), ("saving", 1)])
def test_a_process_that_is_killed_ends_the_other_with_one_line(start, what, killed):
    processes = start(what)
    for process in processes:
        assert "together\n" in iter(process.stdout.readline, "")  # below Gloo's own notes
    processes[killed].send_signal(signal.SIGKILL)
    _, said = processes[1 - killed].communicate(timeout=60)
    assert said.startswith(f"error: process {killed} of 2 is gone") and said.count("\n") == 1, said
    assert processes[1 - killed].returncode == 1


def test_a_mistake_of_one_is_told_by_both(start):
    for process in start("mistake"):
        _, said = process.communicate(timeout=60)
        assert said.startswith("error:") and "no data there" in said and said.count("\n") == 1, said
        assert process.returncode == 1


def test_two_that_finish_say_nothing_of_each_other(start):
    for process in start("nothing"):
        out, said = process.communicate(timeout=60)
        assert out.endswith("finished\n") and said == "" and process.returncode == 0
