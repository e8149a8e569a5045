"""A work directory from somebody else runs no code of its own, unless one says that it may."""

import json
import shutil
import sys

import pytest

import jaxstage
from jaxstage import cli
from jaxstage import config as configs
from jaxstage.depth_search import transfer
from jaxstage.errors import UserError
from jaxstage.evaluate import evaluate
from jaxstage.run import run
from jaxstage.workdir import kept

CODE = """
import pathlib
pathlib.Path({witness!r}).touch()
from jaxstage.data.sources import open_source
from jaxstage.models import resnet as network
data = lambda: open_source("digits", None)
"""


@pytest.fixture
def bad(digits_run, tmp_path, monkeypatch):
    """Makes a copy of a run that names a module which leaves a witness when it is imported; (workdir, witness)."""
    sys.modules.pop("somebodys", None)
    witness = tmp_path / "witness"
    (tmp_path / "somebodys.py").write_text(CODE.format(witness=str(witness)))
    monkeypatch.syspath_prepend(tmp_path)

    def make(where: str):
        workdir = tmp_path / "run"
        shutil.copytree(digits_run, workdir)
        path = workdir / "final" / "architecture.json"
        told = json.loads(path.read_text())
        if where == "family":
            told["family"] = told["model"]["family"] = "somebodys:network"
        else:
            told["data"] = "somebodys:data"
        path.write_text(json.dumps(told))
        return workdir, witness

    return make


def settings(task: str, workdir, **changes):
    config = configs.default()
    config.task, config.source, config.data.name = task, str(workdir), "" if task == "evaluate" else "digits"
    config.evaluate.latency_runs, config.compilation_cache = 1, ""
    config.update_from_flattened_dict(changes)
    return config


def uses(workdir, tmp_path):
    """Everything that builds a run's network."""
    png = tmp_path / "picture.png"
    return [
        lambda: jaxstage.load(workdir),
        lambda: jaxstage.predict(workdir, png),
        lambda: jaxstage.export.export(workdir, "safetensors"),
        lambda: evaluate(settings("evaluate", workdir)),
        lambda: run(settings("transfer", workdir), "x", str(tmp_path / "target")),
        lambda: run(settings("search", workdir), "x", str(tmp_path / "target")),
        lambda: run(settings("transfer", workdir), "x", str(tmp_path / "target"), dry_run=True),
    ]


def test_nothing_is_imported_that_only_the_source_names(bad, tmp_path):
    workdir, witness = bad("family")
    for use in uses(workdir, tmp_path):
        with pytest.raises(UserError, match="names 'somebodys:network', which would be imported.*trust_source=True"):
            use()
    assert not witness.exists() and not (tmp_path / "target").exists() and not (workdir / "exports").exists()


def test_the_command_line_says_what_to_do(bad, capsys):
    workdir, witness = bad("family")
    for command in (
        ["evaluate", str(workdir)],
        ["predict", str(workdir), "x.png"],
        ["export", str(workdir), "--format=stablehlo"],
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(command)
        assert "trust_source" in str(ended.value) + capsys.readouterr().err and "\n" not in str(ended.value)
    assert not witness.exists()


def test_neither_is_a_data_set_that_only_the_source_names(bad):
    workdir, witness = bad("data")
    with pytest.raises(UserError, match="names 'somebodys:data'"):
        evaluate(settings("evaluate", workdir))
    assert not witness.exists()
    assert evaluate(settings("evaluate", workdir, **{"data.name": "digits"}))["examples"] == 360
    assert not witness.exists()
    assert evaluate(settings("evaluate", workdir, trust_source=True))["examples"] == 360
    assert witness.exists()


@pytest.mark.parametrize("changes", [{"trust_source": True}, {"model.family": "somebodys:network"}])
def test_what_ones_own_config_allows_is_imported(bad, changes):
    workdir, witness = bad("family")
    source = transfer.open_source(settings("transfer", workdir, **changes))
    assert witness.exists() and source.metadata["family"] == "somebodys:network"


def test_load_trusts_if_told_to(bad):
    workdir, witness = bad("family")
    assert jaxstage.load(workdir, trust=True).module.depths == (1, 1) and witness.exists()


def test_another_name_than_the_trusted_one_is_not(bad):
    workdir, witness = bad("family")
    with pytest.raises(UserError, match="somebodys:network"):
        transfer.open_source(settings("transfer", workdir, **{"model.family": "mine:network"}))
    assert not witness.exists()


@pytest.mark.parametrize("key", ["model.family", "data.name", "importance.method"])
def test_the_config_of_a_work_directory_brings_no_code_along(digits_run, tmp_path, key):
    """Not even when it says itself that it may be trusted, and nothing else that says how its own run was kept."""
    workdir = tmp_path / "run"
    shutil.copytree(digits_run, workdir)
    path = workdir / "config.json"
    told = json.loads(path.read_text())
    part, name = key.split(".")
    before, told[part][name], told["trust_source"] = told[part][name], "somebodys:code", True
    told["compilation_cache"] = str(tmp_path / "theirs")
    kept.write(path, told)
    with pytest.raises(UserError, match=f"{workdir} names {key}='somebodys:code', which would be imported"):
        configs.load(f"train:{workdir}")
    told[part][name] = before
    kept.write(path, told)
    config = configs.load(f"train:{workdir}")
    assert not config.trust_source and config.compilation_cache == configs.default().compilation_cache
    assert (config.task, config.source, config.data.name) == ("train", str(workdir), "digits")


@pytest.mark.parametrize(
    "name, command", [("evaluate", ["evaluate", "."]), ("transfer", ["transfer", "."]), ("train", ["train", "."])]
)
def test_a_config_that_nobody_named_is_not_taken_from_the_current_directory(
    digits_run, tmp_path, monkeypatch, name, command
):
    """A work directory may bring a file along that is called as the config that a command takes by itself."""
    workdir, witness = tmp_path / "run", tmp_path / "witness"
    shutil.copytree(digits_run, workdir)
    for file in (name, f"{name}.py"):
        (workdir / file).write_text(f"import pathlib\npathlib.Path({str(witness)!r}).touch()\n")
    monkeypatch.chdir(workdir)
    with pytest.raises(SystemExit):
        cli.main([*command, "--config.seed=none"])  # what comes after the config has been read
    assert not witness.exists()
    assert configs.files.find(name) in (name, f"{name}.py")  # who names it means that file
