"""Two processes that run one program together, against one process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPOSITORY, result_of, run_program, virtual_devices

import jaxstage
from jaxstage.devices import hosts
from jaxstage.errors import UserError

KILL_AT = str(REPOSITORY / "tests" / "kill_at.py")


@pytest.fixture(scope="module")
def flags(tiny_search):
    return [*tiny_search, "--config.growth.max_rounds=1", "--config.final.epochs=1", "--config.log_every_steps=1"]


class Pair:
    """Two processes of the program with four devices each; as a context manager it leaves none of them running."""

    def __init__(self, flags, moment=None):
        """Args: flags; moment, at which the second is killed if it comes, see kill_at.py."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        cluster = [f"--coordinator=localhost:{port}", "--num_processes=2"]
        self.processes = []
        for number in (0, 1):
            module = (KILL_AT, moment) if moment and number else ("-m", "jaxstage.main")
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, *module, *flags, *cluster, f"--process_id={number}"],
                    cwd=REPOSITORY,
                    text=True,
                    env={**os.environ, **virtual_devices(4)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )

    def __enter__(self):
        return self.processes

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def reference(tmp_path_factory, flags, compilation_cache):
    """The same run by one process with eight devices."""
    workdir = tmp_path_factory.mktemp("reference") / "run"
    result_of(run_program(compilation_cache, *flags, f"--workdir={workdir}", **virtual_devices(8)))
    return workdir


def losses(workdir, candidate):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == "train" and line["candidate"] == candidate]


def test_two_processes_stopped_killed_and_continued_on_fewer_devices_end_like_one(
    tmp_path, flags, reference, compilation_cache
):
    workdir = tmp_path / "run"
    command = [*flags, f"--workdir={workdir}", f"--config.compilation_cache={compilation_cache}"]

    with Pair(command) as (first, second):  # preempted: one is told, both save and end
        while not list((workdir / "checkpoints").glob("*/5")) and first.poll() is None:
            time.sleep(0.05)
        second.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=600) for process in (first, second)]
        assert codes == [128 + signal.SIGTERM] * 2, first.stderr.read()[-2000:]

    (workdir / "search.json").write_text("{")  # the first sets it aside, and both go on from its copy
    with Pair(command, "saving") as (first, second):  # the second dies while the probe's tenth step is being saved
        assert second.wait(timeout=600) == -signal.SIGKILL, second.stderr.read()[-2000:]
        assert first.wait(timeout=60) == 1
        warning, error = first.stderr.read().splitlines()
        assert "search.json is damaged" in warning and error.startswith("error: process 1 of 2 is gone")

    assert (workdir / "damaged" / "search.json").exists()
    result = result_of(run_program(compilation_cache, *flags, f"--workdir={workdir}", **virtual_devices(2)))
    ours, theirs = losses(workdir, "r00_start"), losses(reference, "r00_start")
    assert len(ours) == 20
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    record, expected = (json.loads((path / "search.json").read_text()) for path in (workdir, reference))
    grown = lambda record: [decision["grows"] for decision in record["rounds"][0]["decisions"]]
    assert grown(record) == grown(expected) and result["depths"] == expected["candidates"][-1]["depths"]


def test_an_elastic_search_of_two_processes_ends_like_one_and_the_first_alone_writes(
    tmp_path, flags, compilation_cache
):
    command = [*flags, "--config.growth.rule=elastic", "--config.growth.least_gain=0.0", "--config.candidate.epochs=1"]
    one, two = tmp_path / "one", tmp_path / "two"
    result_of(run_program(compilation_cache, *command, f"--workdir={one}", **virtual_devices(8)))
    shared = (f"--workdir={two}", f"--config.compilation_cache={compilation_cache}")
    with Pair([*command, *shared], "writing") as (first, second):
        codes = [process.wait(timeout=600) for process in (first, second)]
        assert codes == [0, 0], first.stderr.read()[-2000:] + second.stderr.read()[-2000:]

    ours, theirs = losses(two, "r01_elastic"), losses(one, "r01_elastic")
    assert len(ours) == 10  # written once
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    record, expected = (json.loads((path / "search.json").read_text()) for path in (two, one))
    standing = lambda record: [(candidate["name"], candidate["depths"]) for candidate in record["candidates"]]
    assert standing(record) == standing(expected)
    found, known = (record["candidates"][1]["found"]["states"] for record in (record, expected))
    assert [state["depths"] for state in found] == [state["depths"] for state in known]
    # Sums in another order differ in the last bit, and ten steps and statistics taken anew make more of it: 1.4e-4 seen.
    np.testing.assert_allclose([state["loss"] for state in found], [state["loss"] for state in known], rtol=1e-3)
    for part, depths in (("elastic", known[-1]["depths"]), ("final", expected["candidates"][-1]["depths"])):
        assert jaxstage.load(two, part=part).metadata["depths"] == depths  # one host reads what two have written


@pytest.mark.parametrize(
    "cluster, text",
    [
        (("localhost:1", None, 0), "belong together"),
        ((None, 2, 0), "belong together"),
        (("localhost:1", 2, 2), "must lie between 0 and 1"),
    ],
)
def test_flags_that_do_not_fit_together(cluster, text):
    with pytest.raises(UserError, match=text):
        hosts._place(*cluster)


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, True),
    ],
)
def test_the_environment_says_whether_there_are_others(environment, expected):
    assert hosts._in_cluster(environment) == expected


def test_alone_everything_is_as_it_was():
    signals = lambda: 15
    assert hosts.agreed(signals) is signals and hosts.primary()
    called = []
    hosts.on_primary(called.append, 1)
    assert called == [1]
