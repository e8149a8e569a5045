"""The driver: what it has done for every action, what it writes, and where it goes on. Nothing is trained here."""

import errno
import signal
from types import SimpleNamespace

import pytest

from jaxstage import config as configs
from jaxstage.data import load_train
from jaxstage.depth_search import driver
from jaxstage.depth_search.bench import make_bench
from jaxstage.errors import Stopped, UserError
from jaxstage.importance import Scores
from jaxstage.report.console import Reporter
from jaxstage.workdir import record as records

SETTINGS = {
    "model.depths": (1, 1),
    "model.widths": (4, 8),
    "batch_size": 128,
    "devices": 1,
    "growth.rule": "relative_rise",
    "growth.step": 1,
    "growth.max_rounds": 1,
    "importance.examples": 64,
}
ALL = ["train r00_start", "score r00_start", "train r01_probe", "score r01_probe", "train final", "test final"]


@pytest.fixture
def done(monkeypatch):
    """What the driver has had done, in order; each stage's importance rises with its depth."""
    done = []

    def trained_state(bench, record, candidate, ahead=None):
        if record[candidate.name].validation is None:  # else it is fetched from its checkpoint
            done.append(f"train {candidate.name}")
        return SimpleNamespace(step=10), {"loss": 1.0, "accuracy": 0.5}

    def score(bench, candidate, state):
        done.append(f"score {candidate.name}")
        return Scores(((float(candidate.depths[0]), float(candidate.depths[1])),) * 2)

    def test(bench, candidate, state):
        done.append(f"test {candidate.name}")
        (bench.workdir / "final").mkdir(exist_ok=True)
        return {"loss": 0.5, "accuracy": 0.9}

    for function in (trained_state, score, test):
        monkeypatch.setattr(driver, function.__name__, function)
    monkeypatch.setattr(driver.networks, "exist", lambda workdir: (workdir / "final").exists())
    return done


def bench_in(workdir, stop_signal=lambda: None, **changes):
    config = configs.default()
    config.update_from_flattened_dict({**SETTINGS, **changes})
    return make_bench(config, load_train(config.data, config.seed), workdir, Reporter(quiet=True), stop_signal)


def test_a_search_is_played_to_its_end_and_written_down(done, tmp_path):
    record = driver.run(bench_in(tmp_path))
    assert done == ALL
    assert record == records.load(tmp_path) and (tmp_path / "report.html").exists()
    assert record.final.depths == (2, 2) and record.test == {"loss": 0.5, "accuracy": 0.9}
    assert record["r00_start"].steps == 10 and set(record["r00_start"].seconds) == {"training", "importance"}


def test_work_is_counted_for_every_action(done, tmp_path):
    bench = bench_in(tmp_path)
    start = driver.run(bench)["r00_start"]
    assert bench.steps_per_epoch == 10  # so there was one validation
    assert start.work["training"] == start.macs * (3 * 10 * 128 + bench.dataset.validation.size)
    assert start.work["importance"] == start.macs * (2 * 2 + 1) * 64


@pytest.mark.parametrize("after", range(len(ALL)))
def test_a_stopped_search_goes_on_where_it_was(done, tmp_path, after):
    stop = lambda: signal.SIGTERM if len(done) == after else None
    with pytest.raises(Stopped):
        driver.run(bench_in(tmp_path, stop))
    assert done == ALL[:after]
    assert driver.run(bench_in(tmp_path)).test and done == ALL


def test_a_complete_run_does_nothing_unless_its_network_was_deleted(done, tmp_path):
    driver.run(bench_in(tmp_path))
    driver.run(bench_in(tmp_path))
    assert done == ALL
    (tmp_path / "final").rmdir()
    driver.run(bench_in(tmp_path))
    assert done == [*ALL, "test final"]


def test_a_run_that_fails_leaves_a_page_of_what_there_is(done, tmp_path, monkeypatch):
    def fails(bench, candidate, state):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(driver, "score", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        driver.run(bench_in(tmp_path))
    assert records.load(tmp_path)["r00_start"].validation and (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "origin", [OSError(errno.EIO, "Input/output error"), OSError(errno.ENOSPC, "No space left on device")], ids=str
)
def test_where_storage_has_just_failed_no_page_is_tried(done, tmp_path, monkeypatch, origin):
    """It would be tried again for half a minute more."""

    def fails(bench, candidate, state):
        raise UserError("saving failed") from origin

    monkeypatch.setattr(driver, "score", fails)
    with pytest.raises(UserError, match="saving failed"):
        driver.run(bench_in(tmp_path))
    assert records.load(tmp_path)["r00_start"].validation and not (tmp_path / "report.html").exists()
