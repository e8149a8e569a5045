"""jaxstage/report/monitor.py: what it adds to the metrics of the training loop, and whom it tells."""

import json

import numpy as np
import pytest

from jaxstage.report import monitor as monitors
from jaxstage.report.console import Reporter
from jaxstage.report.monitor import Monitor, NoMonitor

RATES = np.linspace(0.1, 0.4, 40)


@pytest.fixture
def clock(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(monitors.time, "monotonic", lambda: now[0])
    return now


def watch(workdir, **changes):
    settings = dict(start=0, steps=40, steps_per_epoch=10, batch_size=8, rates=RATES, profile=False)
    return Monitor(Reporter(quiet=True), workdir, "r00_start", **{**settings, **changes})


def logged(workdir, name):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line.get(name) for line in lines]


def test_a_report_tells_the_learning_rate_of_its_step(tmp_path):
    with watch(tmp_path) as monitor:
        monitor.training(1, 1, {"loss": 1.0, "accuracy": 0.5})
        monitor.training(40, 39, {"loss": 1.0, "accuracy": 0.5})
        monitor.validation(40, {"loss": 1.0, "accuracy": 0.5})
    assert logged(tmp_path, "learning_rate") == [RATES[0], RATES[39], None]
    assert logged(tmp_path, "split") == ["train", "train", "validation"]


def test_speed_goes_by_the_steps_done_since_the_last_report(tmp_path, clock):
    with watch(tmp_path) as monitor:
        report = lambda step: monitor.training(step, 10, {"loss": 1.0, "accuracy": 0.5})
        monitor.advance(12)
        report(10)  # mostly compilation
        clock[0] += 2.0
        monitor.advance(22)
        report(20)
        report(22)  # nothing was done since
        clock[0] += 4.0
        monitor.advance(32)
        report(30)
    assert logged(tmp_path, "images_per_second") == [None, 10 * 8 / 2.0, None, 10 * 8 / 4.0]


def test_a_training_that_goes_on_takes_back_what_comes_again(tmp_path):
    with watch(tmp_path) as monitor:
        monitor.training(10, 10, {"loss": 1.0, "accuracy": 0.5})
        monitor.training(20, 10, {"loss": 1.0, "accuracy": 0.5})
    with watch(tmp_path, start=10):
        assert logged(tmp_path, "step") == [10]


@pytest.mark.parametrize("fails", [False, True])
def test_it_closes_all_that_it_opened(tmp_path, monkeypatch, fails):
    closed = []
    for name in ("Profiler", "Progress", "MetricsLog"):
        monkeypatch.setattr(getattr(monitors, name), "close", lambda _, name=name: closed.append(name))
    try:
        with watch(tmp_path, profile=True):
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert closed == ["Profiler", "Progress", "MetricsLog"]


def test_the_profiler_is_told_of_every_step(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(monitors.Profiler, "advance", lambda _, step: told.append(step))
    with watch(tmp_path, profile=True) as monitor:
        monitor.advance(1)
        monitor.advance(3)
    assert told == [1, 3]


def test_in_its_place_where_another_process_keeps_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with NoMonitor() as monitor:
        monitor.training(1, 1, {"loss": 1.0})
        monitor.validation(1, {"loss": 1.0})
        monitor.advance(1)
    assert not list(tmp_path.iterdir())
