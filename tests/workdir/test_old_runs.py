"""A run that 0.2 finished, and config files and commands as they were then, are as good as new ones.

tests/fixtures/run_of_0_2/ is what `jaxstage search --config=run_of_0_2.py --config.compilation_cache=` of that version
left, without its page, its TensorBoard files and the checkpoints of its elastic network.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import result_of
from sklearn.datasets import load_digits

import jaxstage
from jaxstage import cli
from jaxstage import config as configs
from jaxstage.config import moved
from jaxstage.config import overrides as config_overrides
from jaxstage.report.html.collect import collect_run
from jaxstage.report.html.compare import config_differences
from jaxstage.workdir.claim import default_name

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
FILE = FIXTURES / "run_of_0_2.py"
LINE = "the config key model.convolutions is now convolutions; its old name still works\n"
SHORT = {"final.epochs": 1, "devices": 1, "compilation_cache": ""}


@pytest.fixture(autouse=True)
def not_told_yet():
    moved.now.cache_clear()


@pytest.fixture
def run(tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(FIXTURES / "run_of_0_2", tmp_path / "run"))


def architecture(workdir: pathlib.Path) -> dict:
    return json.loads((workdir / "final" / "architecture.json").read_text())


def test_its_network_loads_predicts_and_is_measured(run, capsys):
    network = jaxstage.load(run)
    assert network.metadata["depths"] == [1, 1] and "convolutions" not in network.metadata["model"]
    images = np.uint8(load_digits().images[:3] * 255 / 16)[..., None]
    assert {one.label for one in jaxstage.predict(network, list(images))} <= set(network.class_names)
    cli.main(["evaluate", str(run), "--config.evaluate.latency_runs=1"])
    said = capsys.readouterr()
    measured = json.loads(said.out.splitlines()[-1])
    assert measured["accuracy"] == pytest.approx(architecture(run)["test_accuracy"])
    assert said.err.count(LINE) == 1


def test_it_has_a_report_in_which_it_differs_in_nothing_from_a_new_run(run, capsys):
    cli.main(["report", str(run)])
    assert (run / "report.html").exists() and capsys.readouterr().err == LINE
    new = collect_run(run)._replace(name="new", config=configs.flatten(configs.plain(configs.load(FILE))))
    assert config_differences([collect_run(run), new])[1] == []


def test_the_same_command_says_that_it_is_done(run, program):
    """Its config file sets the key by its old name, and so does the command."""
    command = [f"--config={FILE}", f"--workdir={run}", "--config.model.convolutions=xla"]
    record, written = json.loads((run / "search.json").read_text()), architecture(run)
    process = program(*command)
    result = result_of(process)
    assert (result["depths"], result["test_accuracy"]) == (written["depths"], record["test"]["accuracy"])
    assert process.stderr.count(LINE) == 1
    assert json.loads((run / "search.json").read_text())["candidates"] == record["candidates"]
    now = json.loads((run / "config.json").read_text())
    assert now["convolutions"] == "xla" and "convolutions" not in now["model"]


def test_it_goes_on_from_its_checkpoints(run):
    written = architecture(run)
    shutil.rmtree(run / "final")
    result = jaxstage.search(configs.load(FILE), run)
    again = architecture(run)
    assert result.test_accuracy == pytest.approx(written["test_accuracy"])
    assert again["weights_sha256"] == written["weights_sha256"] and "convolutions" not in again["model"]


def test_another_config_is_still_refused(run):
    with pytest.raises(jaxstage.UserError, match=r"another config \(convolutions: 'xla' there, 'native' now\)"):
        jaxstage.search(configs.load(FILE, {"convolutions": "native"}), run)


def test_a_network_of_its_frontier_is_trained(run, tmp_path):
    config = configs.load(f"train:{run}", {"model.depths": (2, 1), **SHORT})
    jaxstage.search(config, tmp_path / "trained")
    assert architecture(tmp_path / "trained")["depths"] == [2, 1]
    found = json.loads((tmp_path / "trained" / "transfer.json").read_text())
    assert (found["source"], found["new"]) == (str(run), {})


def test_its_network_is_taken_to_other_data(run, toy_tfds, tmp_path):
    data = {"data.name": "toy", "data.dir": str(toy_tfds), "batch_size": 16, "importance.examples": 16}
    data["final.warmup_epochs"] = 0.0
    config = configs.load("transfer", {"source": str(run), **data, **SHORT})
    jaxstage.search(config, tmp_path / "taken")
    new = json.loads((tmp_path / "taken" / "transfer.json").read_text())["new"]
    assert "head" in new and not any(part.startswith("stage") for part in new)


@pytest.mark.parametrize("given", [["--config.model.convolutions=native"], ["--config.model.convolutions", "native"]])
def test_commands_may_have_the_old_name(given, capsys):
    config, rest = config_overrides.read("digits", given)
    assert (config.convolutions, rest) == ("native", []) and capsys.readouterr().err == LINE
    config, _ = config_overrides.read("digits", [*given, "--config.convolutions=xla"])
    assert config.convolutions == "xla"


def test_config_files_may_have_the_old_name_in_every_way_in_which_keys_are_set(capsys):
    def by(change) -> str:
        config = configs.default()
        change(config)
        configs.validate(config)
        assert "convolutions" not in config.model and config.model.convolutions == config.convolutions
        return config.copy_and_resolve_references().convolutions

    assert by(lambda config: setattr(config.model, "convolutions", "native")) == "native"
    assert by(lambda config: config.model.update(convolutions="native")) == "native"
    assert by(lambda config: config.update({"model": {"convolutions": "native"}})) == "native"
    assert by(lambda config: config.update_from_flattened_dict({"model.convolutions": "native"})) == "native"
    assert configs.load("digits", {"model.convolutions": "native"}).convolutions == "native"
    assert capsys.readouterr().err == LINE


def test_the_new_name_is_not_remarked_on(capsys):
    configs.load("digits", {"convolutions": "native"})
    config_overrides.read("cifar10:smoke", ["--config.convolutions=xla"])
    assert capsys.readouterr().err == ""


def test_a_mistake_is_told_with_the_names_of_now():
    with pytest.raises(jaxstage.UserError, match="config.convolutions='cudnn': choose one of xla, native"):
        configs.validate(configs.load("digits", {"model.convolutions": "cudnn"}))
    with pytest.raises(jaxstage.UserError, match="'model.convolution': did you mean 'convolutions'"):
        configs.load("digits", {"model.convolution": "native"})


def test_the_same_command_finds_the_directory_that_0_2_gave_it():
    config = configs.default()
    config.convolutions = "native"
    assert default_name("configs/cifar10.py:smoke", config) == "runs/cifar10-smoke-10478f4d"


def test_the_program_says_it_once_though_it_starts_itself_again(tmp_path):
    """`use_huge_pages` does, and both would read the config."""
    command = ["search", f"--config={FILE}", "--dry_run", "--config.source=nowhere"]
    process = subprocess.run([sys.executable, "-m", "jaxstage", *command], capture_output=True, text=True)
    assert process.returncode == 1 and process.stderr.count(LINE) == 1
