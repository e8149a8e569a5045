"""The switches of a recipe for small data in whole training runs: that they go on after a kill as if nothing had happened,
and what early stopping hands over."""

import dataclasses
import json
import shutil

import pytest

from jaxstage import config as configs
from jaxstage.data import load_train
from jaxstage.depth_search import driver, transfer
from jaxstage.depth_search.bench import make_bench
from jaxstage.depth_search.candidates import new_candidate
from jaxstage.depth_search.judge import look_for_divergence
from jaxstage.errors import UserError
from jaxstage.report.console import Reporter
from jaxstage.report.monitor import Monitor
from jaxstage.workdir import networks

SETTINGS = {
    "task": "train",
    "model.depths": (1, 1),
    "model.widths": (4, 8),
    "batch_size": 128,
    "devices": 1,
    "data.crop_padding": 0,
    "data.flip": False,
    "candidate.epochs": 1,
    "final.epochs": 3,
    "checkpoint.every_steps": 4,
}
EVERYTHING = {
    "optimizer.ema": 0.9,
    "optimizer.clip": 1.0,
    "data.mixup": 0.2,
    "data.cutmix": 1.0,
    "data.erasing": 0.5,
    "data.balanced": True,
    "final.patience": 2,
}
FINETUNING = {"transfer.head_epochs": 1.5, "transfer.frozen_statistics": True, "transfer.layer_decay": 0.5}


class Killed(BaseException):
    pass


class Lines(Reporter):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__(quiet=True)
        self.lines, self.warnings = [], []

    def say(self, line):
        self.lines.append(line)

    def warn(self, line):
        self.warnings.append(line)


def bench_in(workdir, **changes):
    config = configs.default()
    config.update_from_flattened_dict({**SETTINGS, **changes})
    configs.validate(config)
    workdir.mkdir(exist_ok=True)
    source, dataset = transfer.open_source(config), load_train(config.data, config.seed)
    config = transfer.resolve(config, source, dataset.image_shape)
    return make_bench(config, dataset, workdir, Lines(), lambda: None, source)


def elsewhere(bench, workdir):
    """The same with another work directory; what is compiled stays, but the source's weights were given up."""
    workdir.mkdir(exist_ok=True)
    return dataclasses.replace(bench, workdir=workdir, reporter=Lines(), source=transfer.open_source(bench.config))


def kill(monkeypatch, bench, name: str, due: int):
    """Runs until the monitor is about to be told of a step."""
    original = getattr(Monitor, name)

    def dies(self, step, *rest):
        if step == due:
            raise Killed
        original(self, step, *rest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Monitor, name, dies)
        driver.run(bench)


def outcome(workdir, record):
    architecture = json.loads((workdir / "final" / "architecture.json").read_text())
    return record.final.steps, record.final.validation, record.test, architecture["weights_sha256"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A trained network of the same digits."""
    workdir = tmp_path_factory.mktemp("source") / "run"
    driver.run(bench_in(workdir))
    return workdir


@pytest.mark.parametrize("data", ["resident", "streaming"])
def test_with_all_switches_a_killed_run_ends_with_the_same_bits(data, source, tmp_path, monkeypatch):
    settings = {**EVERYTHING, **FINETUNING, "task": "transfer", "source": str(source), "data.input": data}
    settings |= {"data.workers": 0}
    bench = bench_in(tmp_path / "whole", **settings)
    whole = outcome(tmp_path / "whole", driver.run(bench))
    killed = elsewhere(bench, tmp_path / "killed")
    kill(monkeypatch, killed, "advance", 14)  # while the other parts are held
    kill(monkeypatch, killed, "advance", 23)
    assert outcome(tmp_path / "killed", driver.run(killed)) == whole


PATIENT = {"final.patience": 1, "final.epochs": 20, "final.schedule": "constant"}


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The bench and the record of a run that ends early."""
    workdir = tmp_path_factory.mktemp("patient") / "run"
    bench = bench_in(workdir, **PATIENT)
    return bench, driver.run(bench)


def validations(workdir) -> list[dict]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["split"] == "validation"]


def test_the_best_epoch_is_handed_over_and_the_steps_are_those_that_there_were(patient):
    bench, record = patient
    told = validations(bench.workdir)
    best = max(range(len(told)), key=lambda number: (told[number]["accuracy"], -told[number]["loss"]))
    assert len(told) == best + 2 < 20, "the run of this test has to end early"
    assert record.final.steps == told[-1]["step"]
    for name, value in record.final.validation.items():
        assert told[best][name] == value
    assert f"final: of {len(told)} epochs the best was number {best + 1}, which is handed over" in bench.reporter.lines
    evaluated = bench.programs.of((1, 1), ()).evaluate(networks.load(bench.workdir).variables)
    assert evaluated == pytest.approx(record.final.validation, rel=1e-6)


@pytest.mark.parametrize("name, after", [("validation", 0), ("advance", 1), ("validation", 1)])
def test_a_patient_run_that_is_killed_around_its_best_epoch_ends_with_the_same_bits(
    name, after, patient, tmp_path, monkeypatch
):
    whole, record = patient
    step, bench = record.final.steps + 10 * (after - 1), elsewhere(whole, tmp_path)
    kill(monkeypatch, bench, name, step if name == "validation" else step - 1)
    assert outcome(tmp_path, driver.run(bench)) == outcome(whole.workdir, record)


def test_a_damaged_best_epoch_costs_time_and_nothing_else(patient, tmp_path):
    """Of a run that was killed before its last record."""
    whole, record = patient
    shutil.copytree(whole.workdir, tmp_path / "run")
    for name in ("search.json", "search.json.copy"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    shutil.rmtree(tmp_path / "run" / "final")
    next((tmp_path / "run" / "checkpoints" / "final.best").glob("*/state/manifest.ocdbt")).unlink()
    bench = elsewhere(whole, tmp_path / "run")
    assert outcome(tmp_path / "run", driver.run(bench)) == outcome(whole.workdir, record)
    damaged, anew = bench.reporter.warnings
    assert "is damaged" in damaged and "training begins anew" in anew


def test_a_candidate_that_diverged_is_told_and_others_are_not(tmp_path):
    bench = bench_in(tmp_path)
    candidate = new_candidate("r00_start", "start", (1, 1), None, bench.config, bench.cost_of)
    for validation in (
        {"loss": 0.5, "accuracy": 0.9},
        {"loss": 2.2, "accuracy": 0.1},
        {"loss": 2.5, "accuracy": 0.5},
        None,
    ):
        look_for_divergence(bench, candidate, validation)
    assert bench.reporter.warnings == []
    look_for_divergence(bench, candidate, {"loss": 9.0, "accuracy": 0.1})
    (line,) = bench.reporter.warnings
    assert line.startswith("r00_start has hardly learnt anything") and "config.candidate.warmup_epochs=0.5" in line


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"transfer.head_epochs": 1.0}, "config.transfer.head_epochs=1.0: only of task transfer"),
        ({"transfer.frozen_statistics": True}, "config.transfer.frozen_statistics=True: only of task transfer"),
        ({"transfer.layer_decay": 0.0}, "config.transfer.layer_decay=0.0: must be greater than 0"),
        (
            {"task": "transfer", "source": "x", "transfer.mode": "head", "transfer.layer_decay": 0.5},
            "config.transfer.layer_decay=0.5: only of task transfer, or of an elastic search",
        ),
        (
            {"task": "transfer", "source": "x", "transfer.head_epochs": 3.0},
            "config.transfer.head_epochs=3.0: must be less than final.epochs=3",
        ),
        ({"optimizer.ema": 1.0}, "config.optimizer.ema=1.0: must be at least 0 and below 1"),
        ({"optimizer.clip": 0.0}, "config.optimizer.clip=0.0: must be greater than 0"),
        ({"data.erasing": 1.1}, "config.data.erasing=1.1: must lie between 0 and 1"),
        ({"final.patience": 0}, "config.final.patience=0: must be at least 1"),
        (
            {"data.mixup": 0.2, "batch_size": 127},
            "config.batch_size=127: data.mixup and data.cutmix mix images in pairs",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(changes, text, tmp_path):
    with pytest.raises(UserError) as error:
        bench_in(tmp_path, **changes)
    assert str(error.value).startswith(text)
