"""`jaxstage compare` as a whole: killed, stopped and continued it comes to the same figures; what goes wrong is one line."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from conftest import REPOSITORY, result_of

from jaxstage.comparison import processes
from jaxstage.comparison.processes import Machine
from jaxstage.cost import latency

TOY = [
    "compare",
    "--config=digits",
    "--arms=lowest_score,uniform,last",
    "--seeds=2",
    "--config.model.widths=(4,8)",
    "--config.growth.step=1",
    "--config.model.depths=(1,1)",
    "--config.data.examples=200",
    "--config.batch_size",
    "64",
    "--config.candidate.epochs=1",
    "--config.final.epochs=1",
    "--config.final.warmup_epochs=0.0",
    "--config.growth.max_rounds=1",
    "--config.growth.margin=0.0",
    "--config.importance.examples=32",
    "--config.growth.max_macs=60000",
]


@pytest.fixture(scope="module")
def command(compilation_cache):
    """Begins `jaxstage compare` on a toy; compiling is what takes the time here."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": str(REPOSITORY)}
    return partial(_begin, f"--config.compilation_cache={compilation_cache}", environment)


def _begin(cache: str, environment: dict, workdir: pathlib.Path, *flags: str) -> subprocess.Popen:
    arguments = [*TOY, f"--workdir={workdir}", cache, *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "jaxstage", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> subprocess.CompletedProcess:
    return subprocess.CompletedProcess(process.args, process.wait(timeout=900), *process.communicate())


def figures(workdir: pathlib.Path) -> list[dict]:
    """What must not depend on interruptions."""
    rows = json.loads((workdir / "compare.json").read_text())["arms"]
    for one in (one for row in rows for one in row["seeds"]):
        one["workdir"] = str(pathlib.Path(one["workdir"]).relative_to(workdir))
        del one["seconds"]
    return rows


def children(process: subprocess.Popen) -> list[int]:
    return [
        int(number) for number in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


def wait_for(path: pathlib.Path, process: subprocess.Popen):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, command):
    workdir = tmp_path_factory.mktemp("undisturbed") / "toy"
    process = ended(command(workdir, "--jobs=2"))
    assert process.returncode == 0, process.stderr[-2000:]
    return workdir, process


def test_a_comparison_has_a_table_a_page_and_a_line_for_each_run(undisturbed):
    workdir, process = undisturbed
    rows = figures(workdir)
    names = ["lowest_score", "uniform", "last", "lowest_score, from scratch"]
    assert [row["arm"] for row in rows] == names and all(len(row["seeds"]) == 2 for row in rows)
    for row in rows[1:]:
        assert all(one["search_work"] == 0 and one["macs"] <= 60_000 for one in row["seeds"])
        # to the nearest epoch, which is at most half of one
        for one, first in zip(row["seeds"], rows[0]["seeds"]):
            total = first["search_work"] + first["final_work"]
            assert abs(one["final_work"] - total) <= one["final_work"] / one["epochs"] / 2 + 1
    # One block more fits the budget: the first stage's for `uniform`, the last one's for `last`.
    assert [one["depths"] for row in rows[1:3] for one in row["seeds"]] == [[2, 1], [2, 1], [1, 2], [1, 2]]
    found = [one["depths"] for one in rows[0]["seeds"]]
    assert [one["depths"] for one in rows[3]["seeds"]] == found and all(sum(depths) == 3 for depths in found)
    result = result_of(process)
    assert result == json.loads((workdir / "compare.json").read_text())
    assert len(re.findall(r"ended after .* test accuracy \d+\.\d+%; (at most )?\d runs? left", process.stdout)) == 6
    assert process.stdout.count("so that run counts for both") == 2
    told = re.sub(r"[│┃\s]+", " ", process.stdout)
    assert "lowest_score" in told and "minus this" in told and "there at" in told
    page = (workdir / "compare.html").read_text()
    assert "lowest_score, from scratch" in page and "uniform, seed 1" in page and "95 % intervals" in page
    assert result["verdict"] in page.replace("&#39;", "'") and 'href="last/seed1/report.html"' in page
    own = (workdir / "last" / "seed1" / "report.html").read_text()
    assert result["verdict"] in own and "Beside other rules at equal cost" in own and "Beside other" not in page
    assert (workdir / "last" / "seed1.log").exists()


def test_killed_and_stopped_and_continued_it_comes_to_the_same(undisturbed, tmp_path, command):
    workdir = tmp_path / "toy"
    process = command(workdir)
    wait_for(workdir / "lowest_score" / "seed0" / "checkpoints", process)
    process.send_signal(signal.SIGINT)
    stopped = ended(process)
    assert stopped.returncode == 130 and stopped.stderr.strip().splitlines()[-1].startswith("stopped by signal 2")
    process = command(workdir)
    wait_for(workdir / "uniform" / "seed0" / "checkpoints", process)
    killed = children(process)
    assert len(killed) == 1
    process.kill()
    os.kill(killed[0], signal.SIGKILL)
    process.communicate()
    again = ended(command(workdir))
    assert "2 runs finished already" in again.stdout, again.stderr
    assert figures(workdir) == figures(undisturbed[0])


def test_a_finished_comparison_says_its_result_again_and_other_keys_are_refused(undisturbed, command):
    workdir, first = undisturbed
    before = figures(workdir)
    again = ended(command(workdir))
    assert result_of(again) == result_of(first) | {"overrides": result_of(again)["overrides"]}
    assert "ended after" not in again.stdout and figures(workdir) == before
    other = ended(command(workdir, "--config.batch_size=32"))
    assert other.returncode == 1 and "belongs to another config (batch_size: 64 there, 32 now)" in other.stderr
    assert len(other.stderr.strip().splitlines()) == 1
    single = ended(command(workdir / "last" / "seed0"))
    assert single.returncode == 1 and "is the work directory of one run" in single.stderr


def test_a_dry_run_tells_the_runs_and_what_is_known_of_them(undisturbed, tmp_path, command):
    known = result_of(ended(command(tmp_path / "new", "--dry_run")))
    assert not (tmp_path / "new").exists()
    depths = {(run["arm"], run["seed"]): run["depths"] for run in known["runs"]}
    assert len(depths) == 8 and depths["uniform", 1] == [2, 1] and depths["lowest_score", 0] is None
    assert depths["lowest_score, from scratch", 0] is None
    after = result_of(ended(command(undisturbed[0], "--dry_run")))
    assert all(sum(run["depths"]) == 3 for run in after["runs"])


def test_a_run_that_fails_ends_it_with_its_own_line(tmp_path, command):
    failed = ended(command(tmp_path / "toy", "--config.batch_size=512", "--jobs=2"))
    assert failed.returncode == 1
    (line,) = failed.stderr.strip().splitlines()
    log = tmp_path / "toy" / "lowest_score" / "seed0.log"
    assert line.startswith("error: lowest_score, seed") and "config.batch_size=512 is more than the" in line
    assert f"log: {log.parent}" in line and "config.batch_size=512" in log.read_text()


def test_each_run_gets_its_share_of_the_gpus():
    share = processes.share
    two = Machine("gpu", 2)
    assert two.jobs == 2 and Machine("cpu", 8).jobs == Machine("tpu", 4).jobs == 1
    assert [share(slot, 2, two, {}) for slot in (0, 1)] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    assert share(1, 2, two, {"CUDA_VISIBLE_DEVICES": "5,7"}) == {"CUDA_VISIBLE_DEVICES": "7"}
    assert share(2, 3, two, {}) == {"CUDA_VISIBLE_DEVICES": "0", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    assert share(1, 2, Machine("cpu", 1), {}) == {}


def test_latencies_are_measured_once_for_all_runs_of_a_comparison(tmp_path, command):
    workdir, few = tmp_path / "toy", ("--arms=lowest_score,last", "--seeds=1", "--config.growth.max_depth=(1,2)")
    slow = (*few, "--config.growth.max_latency_ms=10000.0", "--config.evaluate.latency_runs=1")
    unknown = result_of(ended(command(workdir, *slow, "--dry_run")))
    assert not workdir.exists() and not any(run["depths"] for run in unknown["runs"])
    rows = {row["arm"]: row for row in result_of(ended(command(workdir, *slow)))["arms"]}
    table = latency.load(workdir / "latency.json")
    (last,) = rows["last"]["seeds"]
    assert last["depths"] == [1, 2] and last["latency_ms"] == table.latency((1, 2))
    for arm in ("lowest_score", "last"):
        config = json.loads((workdir / arm / "seed0" / "config.json").read_text())
        assert config["growth"]["latency_table"] == str(workdir / "latency.json")
    known = result_of(ended(command(workdir, *slow, "--dry_run")))
    assert all(run["depths"] for run in known["runs"])
