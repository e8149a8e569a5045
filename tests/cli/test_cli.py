"""The command `jaxstage`: its help, its defaults, its names of configs, and what a mistake gets to see."""

import json
import os
import re
import subprocess
import sys

import click
import numpy as np
import PIL.Image
import pytest
from conftest import REPOSITORY, result_of

import jaxstage
from jaxstage import cli
from jaxstage.config import files as config_files
from jaxstage.config import load

COMMANDS = (
    "compare",
    "configs",
    "evaluate",
    "export",
    "import",
    "latency",
    "predict",
    "prepare",
    "report",
    "search",
    "train",
    "transfer",
)
SMALL = ["--config.model.depths=(1,1)", "--config.model.widths=(4,8)", "--config.final.epochs=1", "--config.devices=1"]


def run(*arguments, capsys) -> str:
    cli.main(list(arguments))
    return capsys.readouterr().out


def fails(*arguments, capsys) -> str:
    """The one line on standard error of a command that does not end well."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code not in (0, None)
    told = capsys.readouterr().err or str(ended.value.code)
    assert told.startswith("error: ") and len(told.strip().splitlines()) == 1, told
    return told.strip()


@pytest.fixture
def asked(monkeypatch):
    """What the runs that are asked for would be: (config, name, workdir, cluster, dry_run); nothing is done."""
    runs = []
    monkeypatch.setattr("jaxstage.run.run", lambda *arguments: runs.append(arguments))
    return runs


def test_the_commands_are_these_and_each_shows_two_examples(capsys):
    assert tuple(cli.jaxstage.list_commands(None)) == COMMANDS
    overview = run(capsys=capsys)
    assert run("--help", capsys=capsys) == overview
    for name in COMMANDS:
        text = run(name, "--help", capsys=capsys)
        assert len(re.findall(rf"^ +jaxstage {name}\b", text, re.MULTILINE)) >= 2, text
        assert re.search(rf"^  {name} ", overview, re.MULTILINE)


def test_version_is_in_one_place(capsys):
    assert run("--version", capsys=capsys).split()[-1] == jaxstage.__version__
    elsewhere = ("setup.py", "CITATION.cff", "Dockerfile", "README.md")
    assert not [name for name in elsewhere if jaxstage.__version__ in (REPOSITORY / name).read_text()]
    assert f"## [{jaxstage.__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_module_is_the_same_and_help_needs_no_jax():
    code = (
        "import runpy, sys; sys.argv[1:] = ['search', '--help']\n"
        "try: runpy.run_module('jaxstage', run_name='__main__')\n"
        "finally: print(sorted({'jax', 'flax', 'tensorflow'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0 and process.stdout.strip().splitlines()[-1] == "[]", process.stderr
    assert "python -m jaxstage search" in process.stdout


def test_each_config_is_listed_in_a_line_and_found_by_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = run("configs", capsys=capsys).splitlines()
    names = sorted(path.stem for path in (REPOSITORY / "configs").glob("*.py"))
    assert [line.split()[0] for line in lines] == names
    assert re.match(r"cifar10 +full, fast, smoke +Searches a network for CIFAR-10", lines[0])
    for one in config_files.known():
        for preset in one.presets or ("",):
            load(f"{one.name}:{preset}" if preset else one.name)
    assert run("configs", "digits", capsys=capsys) == (REPOSITORY / "configs" / "digits.py").read_text()
    assert "--config.model.depths=(2, 2, 2)" in run("configs", "--keys", capsys=capsys).splitlines()


def test_what_lies_in_the_current_directory_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "from jaxstage.config import default\ndef get_config(preset=''):\n    c = default()\n    c.seed = 7\n    return c\n"
    assert load("digits").seed == 0
    (tmp_path / "digits").mkdir()  # is no file
    assert load("digits").seed == 0
    (tmp_path / "digits.py").write_text(text)
    assert load("digits").seed == load("digits:x").seed == load("digits.py").seed == 7
    assert load(tmp_path / "digits.py").seed == 7


def test_a_command_is_its_task_with_its_usual_config(asked, capsys):
    cli.main(["search", "--config=digits"])
    cli.main(["train", "--config", "cifar10:smoke", "--workdir=w", "--config.seed", "3"])
    cli.main(["transfer", "runs/a", "--config.data.name=cifar10", "--dry-run"])
    cli.main(["transfer", "--config=transfer:head", "--config.source=runs/b"])
    cli.main(["evaluate", "runs/c", "--config.evaluate.split=train"])
    cli.main(["search", "--config=digits", "--coordinator=host:1", "--num-processes=2", "--process_id=1"])
    configs = [config for config, *_ in asked]
    assert [config.task for config in configs] == ["search", "train", "transfer", "transfer", "evaluate", "search"]
    assert [config.source for config in configs] == [None, None, "runs/a", "runs/b", "runs/c", None]
    assert (configs[1].data.name, configs[1].seed, asked[1][2]) == ("cifar10", 3, "w")
    assert configs[2].transfer.mode == "finetune" and configs[3].transfer.mode == "head"
    assert [dry_run for *_, dry_run in asked] == [False, False, True, False, False, False]
    assert asked[5][3] == ("host:1", 2, 1)


def test_train_takes_the_config_of_a_finished_search(asked, digits_run):
    cli.main(["train", "--config.seed", "3", str(digits_run), "--config.model.depths=(2,2)"])
    cli.main(["train", f"--config.source={digits_run}", "--config.final.epochs=2"])
    (first, *_), (second, *_) = asked
    assert [config.source for config in (first, second)] == [str(digits_run)] * 2
    assert (first.seed, first.model.depths, first.model.widths, first.task) == (3, (2, 2), (8, 16), "train")
    assert (second.final.epochs, second.model.depths) == (2, (1, 1))
    cli.main(["train", "--config=digits", f"--config.source={digits_run}"])
    assert asked[-1][0].model.depths == (1, 1)  # its own, not those of the config, which has three stages


def test_the_new_command_and_the_old_one_share_a_run(program, tmp_path, compilation_cache):
    flags = [*SMALL, f"--workdir={tmp_path / 'run'}"]
    first = result_of(program("--config=configs/digits.py", "--config.task=train", *flags))
    command = [sys.executable, "-m", "jaxstage", "train", "--config=digits", *flags]
    command += [f"--config.compilation_cache={compilation_cache}"]
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result_of(second) == first


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["serch"], "there is no command 'serch': did you mean search?"),
        (["xyz"], "there is no command 'xyz': choose one of compare, configs, evaluate"),
        (["--config=digits"], "--config"),
        (["search"], "--config is missing: try --config=digits"),
        (["search", "--config=digitz"], "there is no config file digitz: did you mean digits? `jaxstage configs`"),
        (["search", "--config=cifar:smoke"], "did you mean cifar10 or cifar100"),
        (["search", "--config=configs/nothing/x.py"], "there is no config file configs/nothing/x.py"),
        (["search", "--config=cifar10:huge"], "unknown preset 'huge': choose one of full, fast, smoke"),
        (["configs", "digitz"], "did you mean digits?"),
        (["search", "--config=digits", "--config.model.depth=3"], "did you mean 'model.depths'?"),
        (["search", "--config=digits", "--config.batch_size=many"], "batch_size=many"),
        (["search", "--config=digits", "--config.batch_size=0"], "config.batch_size=0: must be at least 1"),
        (["search", "--config=digits", "--wrokdir=x"], "--wrokdir"),
        (["search", "--config=digits", "stray"], "unexpected argument 'stray'"),
        (["search", "--config=digits", "--process_id=one"], "process_id"),
        (["search", "--config=evaluate"], "config.data.name='': name a data set"),
        (["transfer"], "which finished run? Give its work directory: jaxstage transfer WORKDIR"),
        (["evaluate", "a", "b"], "unexpected argument 'b'"),
        (["evaluate", "nowhere"], "nowhere holds no finished run"),
        (["compare"], "--config is missing"),
        (
            ["compare", "--config=digits", "--arms=search,lats"],
            "--arms=search,lats: there is no arm 'lats': did you mean last?",
        ),
        (["compare", "--config=digits", "--arms=search"], "one arm is no comparison"),
        (["compare", "--config=digits", "--arms=last,search,last"], "last is there twice"),
        (["compare", "--config=digits", "--seeds=0"], "'--seeds': 0 is not in the range 1<=x<=1000"),
        (["compare", "--config=digits", "--jobs=0"], "'--jobs': 0 is not in the range x>=1"),
        (["compare", "--config=digits", "--config.batch_size=0"], "config.batch_size=0: must be at least 1"),
        (["compare", "--config=digits", "--config.source=x"], "config.source='x': a comparison trains from scratch"),
        (
            ["compare", "--config=digits", "--config.final.patience=2"],
            "config.final.patience=2: networks that end early",
        ),
        (["compare", "--config=digits", "--coordinator=a:1"], "--coordinator"),
        (["compare", "--config=digits", "stray"], "unexpected argument 'stray'"),
        (["predict"], "WORKDIR"),
        (["predict", "nowhere"], "FILE"),
        (["predict", "nowhere", "a.png"], "nowhere holds no finished run"),
        (["export", "nowhere", "--format=stablehlo"], "nowhere holds no finished run"),
        (["export", "nowhere", "--format=gif"], "stablehlo"),
        (["report", "nowhere"], "there is no directory nowhere"),
        (["prepare", "Bad", "--folder=nowhere"], "is no name for a set"),
        (["latency"], "--config is missing: try --config=digits"),
        (["latency", "--config=digits", "stray"], "unexpected argument 'stray'"),
        (["latency", "--config=digits", "--config.growth.latency_batch=0"], "growth.latency_batch=0: must be at"),
        (["latency", "--config=digits", "--out=no/where.json"], "--out=no/where.json: give a file, in a directory"),
        (["latency", "--config=digits", "--out=gs://bucket/a.json"], "--out=gs://bucket/a.json: gs: is not supported"),
    ],
)
def test_a_mistake_is_one_line(arguments, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text in fails(*arguments, capsys=capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two digits as PNG, and things that are no pictures."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(load_digits().images[:2]):
        PIL.Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((40, 40)).save(folder / f"{number}.png")
    (folder / "text.png").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:200])
    return folder


def test_predict_tells_classes_with_their_probabilities(digits_run, pictures, capsys):
    files = [str(pictures / "0.png"), str(pictures / "1.png")]
    lines = run("predict", str(digits_run), *files, capsys=capsys).splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r".*/\d\.png: \d \d+\.\d %, \d \d+\.\d %, \d \d+\.\d %", line) for line in lines)
    assert len(run("predict", str(digits_run), *files, "--top=1", capsys=capsys).split("%")) == 3
    told = [json.loads(line) for line in run("predict", str(digits_run), *files, "--json", capsys=capsys).splitlines()]
    expected = jaxstage.predict(digits_run, files)
    assert [(one["file"], one["label"]) for one in told] == list(zip(files, [one.label for one in expected]))
    assert sum(told[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "name, text",
    [
        ("text.png", "text.png is no picture that can be read (not decodable): give JPEG or PNG files"),
        ("empty.png", "is no picture that can be read (no data)"),
        ("cut.png", "is no picture that can be read"),
        ("", "is a directory: give the files in it"),
        ("nowhere.png", "there is no file"),
    ],
)
def test_predict_on_what_is_no_picture_is_one_line(name, text, digits_run, pictures, capsys):
    assert text in fails("predict", str(digits_run), str(pictures / "0.png"), str(pictures / name), capsys=capsys)


def test_predict_on_a_run_that_is_not_finished(digits_run, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes((digits_run / "config.json").read_bytes())
    assert "holds no finished run" in fails("predict", str(tmp_path / "run"), "x.png", capsys=capsys)


def test_evaluate_and_report_by_command(digits_run, capsys, tmp_path):
    found = json.loads(
        run("evaluate", str(digits_run), "--config.evaluate.latency_runs=1", capsys=capsys).splitlines()[-1]
    )
    assert found["accuracy"] == pytest.approx(jaxstage.load(digits_run).metadata["test_accuracy"])
    assert (
        run("report", str(digits_run), f"--out={tmp_path / 'page.html'}", capsys=capsys).strip().endswith("page.html")
    )


@pytest.mark.parametrize(
    "words, expected",
    [
        ("jaxstage s", "plain,search"),
        ("jaxstage search --config cifar10:s", "plain,cifar10:smoke"),
        ("jaxstage search --config=dig", "plain,digits"),
        ("jaxstage search --work", "plain,--workdir"),
        ("jaxstage search --config.growth.mar", "plain,--config.growth.margin="),
    ],
)
def test_the_shell_completes_commands_flags_configs_and_keys(words, expected):
    environment = {
        "_JAXSTAGE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    program = "from jaxstage.cli import main; main()"
    process = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert expected in process.stdout.splitlines(), process.stderr


def test_on_windows_it_is_one_line():
    """Stands in for a Python without fcntl."""
    for arguments in (
        ["-m", "jaxstage", "search", "--config=digits"],
        ["-m", "jaxstage.main", "--config=configs/digits.py"],
    ):
        program = (
            f"import sys, runpy; sys.modules['fcntl'] = None; sys.argv = ['x', *{arguments[2:]!r}]\n"
            f"runpy.run_module({arguments[1]!r}, run_name='__main__', alter_sys=True)"
        )
        environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}  # or it starts itself anew, with fcntl
        process = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True
        )
        assert process.returncode == 1 and process.stderr.count("\n") == 1, process.stderr
        assert process.stderr.startswith("error: ") and "WSL2" in process.stderr


def test_a_usage_error_of_click_is_one_line_too(capsys):
    assert issubclass(click.UsageError, click.ClickException)
    assert "No such option" in fails("predict", "a", "b", "--tpo=3", capsys=capsys)
