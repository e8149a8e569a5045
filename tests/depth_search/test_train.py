"""Training runs that end before their time."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from jaxstage import config as configs
from jaxstage.data import load_train
from jaxstage.depth_search import driver, reading
from jaxstage.depth_search.bench import batch_for, make_bench
from jaxstage.errors import UserError
from jaxstage.report.console import Reporter
from jaxstage.report.monitor import Monitor
from jaxstage.workdir import record as records

SETTINGS = {
    "model.depths": (1, 1),
    "model.widths": (4, 8),
    "batch_size": 128,
    "devices": 1,
    "candidate.epochs": 3,
    "final.epochs": 1,
    "growth.step": 1,
    "growth.max_rounds": 1,
    "growth.stop_probe": 0.0,
    "importance.shares": 2,
    "importance.examples": 64,
}


def bench_in(workdir, **changes):
    config = configs.default()
    config.update_from_flattened_dict({**SETTINGS, **changes})
    configs.validate(config)
    workdir.mkdir(exist_ok=True)
    return make_bench(config, load_train(config.data, config.seed), workdir, Reporter(quiet=True), lambda: None)


def test_a_probe_whose_decision_is_clear_ends_early_and_a_resumed_one_ends_there_too(tmp_path):
    record = driver.run(bench_in(tmp_path))
    probe = record["r01_probe"]
    assert (record["r00_start"].steps, probe.steps, record.final.steps) == (30, 20, 10)

    untrained = dataclasses.replace(probe, validation=None, scores=None, steps=None, seconds={}, joules={})
    opened = dataclasses.replace(record.rounds[0], decisions=None, next=None)
    before = records.Record((record.candidates[0], untrained), (opened,))
    records.save(before, tmp_path)
    for place in ("checkpoints/r01_probe/20", "checkpoints/final", "final"):
        shutil.rmtree(tmp_path / place, ignore_errors=True)
    again = driver.run(bench_in(tmp_path))
    assert again["r01_probe"].steps == 20
    assert again["r01_probe"].scores == probe.scores and again.test == record.test


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_kill_between_a_save_and_its_validation_loses_nothing_that_is_logged(epoch, tmp_path, monkeypatch):
    settings = {"growth.stop_probe": None, "task": "train", "final.epochs": 3}
    driver.run(bench_in(tmp_path / "whole", **settings))

    class Killed(BaseException):
        pass

    def dies(self, step, metrics, validation=Monitor.validation):
        if step == 10 * epoch:
            raise Killed
        validation(self, step, metrics)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Monitor, "validation", dies)
        driver.run(bench_in(tmp_path / "killed", **settings))
    driver.run(bench_in(tmp_path / "killed", **settings))
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    found = [sorted((line["step"], line["split"], line["loss"]) for line in map(json.loads, log)) for log in logs]
    assert found[0] == found[1] and len(found[0]) >= 6


def test_a_probe_whose_decision_stays_unclear_trains_to_its_end(tmp_path):
    assert driver.run(bench_in(tmp_path, **{"growth.stop_probe": 1e9}))["r01_probe"].steps == 30


def test_methods_without_an_error_have_no_clear_decisions():
    config = configs.default()
    config.importance.method, config.growth.stop_probe = "pls_vip", 1.0
    with pytest.raises(UserError, match="config.growth.stop_probe=1.0: importance.method=pls_vip gives no error"):
        configs.validate(config)


def test_several_steps_a_dispatch_change_neither_a_training_nor_what_is_logged(tmp_path):
    """Within rounding: the loop is another program."""
    settings = {"growth.stop_probe": None, "task": "train", "log_every_steps": 3}
    single = driver.run(bench_in(tmp_path / "single", **settings))
    several = driver.run(bench_in(tmp_path / "several", **settings, steps_per_dispatch=4))
    assert single.final.steps == several.final.steps == 10
    np.testing.assert_allclose(several.test["loss"], single.test["loss"], rtol=0.01)
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("single", "several")]
    steps = [[json.loads(line)["step"] for line in log] for log in logs]
    assert steps[0] == steps[1] and len(steps[0]) == 5  # after 3, 6, 9 and 10 steps, and the validation


def test_states_get_their_statistics_from_images_as_training_shows_them(tmp_path, monkeypatch):
    """Shifted over black borders; without augmentation as they are."""
    taken = []

    def read(module, variables, states, images, calibration, *rest):
        taken.append(np.asarray(calibration.image))
        raise KeyboardInterrupt

    for name, changes in {"shown": {}, "whole": {"data.crop_padding": 0, "data.flip": False}}.items():
        rules = {"growth.rule": "elastic", "growth.stop_probe": None, "candidate.epochs": 1}
        bench = bench_in(tmp_path / name, **rules, **changes)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(reading, "read", read)
            driver.run(bench)
        whole = np.asarray(bench.calibration().image)
        if name == "whole":
            np.testing.assert_array_equal(taken[-1], whole)
        else:
            lost = whole.sum(axis=(1, 2, 3), dtype=int) - taken[-1].sum(axis=(1, 2, 3), dtype=int)
            assert lost.min() >= 0 and np.mean(lost > 0) > 0.5  # what was shifted out of the picture


@pytest.mark.parametrize(
    "examples, batch", [(10**6, 128), (6_400, 128), (6_399, 64), (1_600, 64), (400, 32), (59, 8), (1, 1)]
)
def test_the_batch_of_a_small_set_grows_with_the_square_root_of_its_size(examples, batch):
    assert batch_for(examples) == batch
    assert batch_for(examples, devices=8) == max(batch, 16)
