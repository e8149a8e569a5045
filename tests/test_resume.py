"""A run that is killed, stopped or damaged and then continued ends as if nothing had happened."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import REPOSITORY, result_of

MOMENTS = ("training", "saving", "importance", "between rounds", "final training", "handing over")
KILL_AT = str(pathlib.Path(__file__).with_name("kill_at.py"))


def outcome(workdir: pathlib.Path) -> dict:
    """What must not depend on interruptions, with floats as they were written, to the last bit."""
    record = json.loads((workdir / "search.json").read_text())
    architecture = json.loads((workdir / "final" / "architecture.json").read_text())
    steps = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {
        "candidates": [
            {key: value for key, value in candidate.items() if key not in ("seconds", "joules")}
            for candidate in record["candidates"]
        ],
        "rounds": record["rounds"],
        "test": record["test"],
        "architecture": architecture,  # with the digest of the weights
        "logged": sorted((line["candidate"], line["step"]) for line in steps if line["split"] == "validation"),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_search, compilation_cache):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "jaxstage.main",
            *tiny_search,
            f"--workdir={workdir}",
            f"--config.compilation_cache={compilation_cache}",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=900,
    )
    result_of(process)
    return outcome(workdir)


def test_the_tiny_search_grows(undisturbed):
    """Otherwise the tests below would show little."""
    roles = [candidate["role"] for candidate in undisturbed["candidates"]]
    assert roles.count("probe") >= 1 and roles[-1] == "final"
    assert undisturbed["candidates"][-1]["depths"] != undisturbed["candidates"][0]["depths"]


def test_killed_six_times_and_continued_it_ends_with_the_same_bits(tmp_path, program, tiny_search, undisturbed):
    workdir = tmp_path / "run"
    for moment in MOMENTS:
        process = program(*tiny_search, f"--workdir={workdir}", module=(KILL_AT, moment))
        assert process.returncode == -signal.SIGKILL, f"{moment}: {process.stdout[-500:]}{process.stderr[-2000:]}"
    result = result_of(program(*tiny_search, f"--workdir={workdir}"))
    assert outcome(workdir) == undisturbed
    assert result["depths"] == undisturbed["candidates"][-1]["depths"]


def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path, program, tiny_search, undisturbed):
    workdir = tmp_path / "run"
    program(*tiny_search, f"--workdir={workdir}", module=(KILL_AT, "final training"))
    for candidate in ("r01_probe", "final"):
        steps = [path for path in (workdir / "checkpoints" / candidate).iterdir() if path.name.isdigit()]
        newest = max(steps, key=lambda path: int(path.name))
        (newest / "state" / "manifest.ocdbt").unlink()
    process = program(*tiny_search, f"--workdir={workdir}")
    result_of(process)
    assert f"{newest} is damaged" in process.stderr and "going back" in process.stderr
    assert outcome(workdir) == undisturbed


def test_a_damaged_record_and_config_cost_time_and_nothing_else(tmp_path, program, tiny_search, undisturbed):
    """The copy of the record is that of an earlier moment: it does not know of all the checkpoints that are there."""
    workdir = tmp_path / "run"
    program(*tiny_search, f"--workdir={workdir}", module=(KILL_AT, "importance"))
    earlier = (workdir / "search.json.copy").read_bytes()
    program(*tiny_search, f"--workdir={workdir}", module=(KILL_AT, "final training"))
    (workdir / "search.json.copy").write_bytes(earlier)
    for name in ("search.json", "config.json"):
        (workdir / name).write_bytes((workdir / name).read_bytes()[:100])
    process = program(*tiny_search, f"--workdir={workdir}")
    result_of(process)
    warnings = process.stderr.splitlines()
    assert len(warnings) == 2 and all(line.endswith("json.copy is used in its place") for line in warnings), warnings
    assert outcome(workdir) == undisturbed


def test_a_stream_goes_on_where_it_was(tmp_path, program, tiny_search):
    """Killed within the third epoch, two steps after a checkpoint: the images that were due come, and no others."""
    flags = [*tiny_search, "--config.task=train", "--config.data.input=streaming", "--config.data.workers=1"]
    result_of(program(*flags, f"--workdir={tmp_path / 'undisturbed'}"))
    process = program(*flags, f"--workdir={tmp_path / 'run'}", module=(KILL_AT, "final training"))
    assert process.returncode == -signal.SIGKILL
    result_of(program(*flags, f"--workdir={tmp_path / 'run'}"))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "undisturbed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_exits_cleanly(tmp_path, program, tiny_search, undisturbed, compilation_cache, number):
    workdir = tmp_path / "run"
    command = [*tiny_search, f"--workdir={workdir}", f"--config.compilation_cache={compilation_cache}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxstage.main", *command],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (workdir / "checkpoints").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert errors.strip().splitlines()[-1].startswith(f"stopped by signal {number.value}")
    assert "Traceback" not in errors
    result_of(program(*tiny_search, f"--workdir={workdir}"))
    assert outcome(workdir) == undisturbed


def test_artefacts_that_were_deleted_are_handed_over_again(tmp_path, program, tiny_search):
    command = [*tiny_search, f"--workdir={tmp_path / 'run'}", "--config.growth.max_rounds=1", "--config.final.epochs=1"]
    result_of(program(*command))
    before = outcome(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "final")
    result_of(program(*command))
    assert outcome(tmp_path / "run") == before


def test_a_finished_run_says_its_result_again(tmp_path, program, tiny_search):
    command = [*tiny_search, f"--workdir={tmp_path / 'run'}", "--config.growth.max_rounds=1", "--config.final.epochs=1"]
    first = result_of(program(*command))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "final").rglob("*")}
    assert result_of(program(*command)) == first
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "final").rglob("*")}
