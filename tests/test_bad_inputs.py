"""What people type and bring that cannot work: one line that names the value and the remedy, and nothing is written."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
from conftest import REPOSITORY

import jaxstage
from jaxstage import cli
from jaxstage import config as configs
from jaxstage.errors import UserError
from jaxstage.files import write_text
from jaxstage.interop import keras

DIGITS = "--config=digits"
LONG, NOT_UTF8 = "x" * 5000, os.fsdecode(b"caf\xe9")
MODULE = "import jaxstage.config\ndef get_config(*preset):\n    c = jaxstage.config.load('digits')\n    {}\n"


class Case(NamedTuple):
    """A mistake: what is typed, words of the line that answers it, and the files that lie there, by name."""

    typed: list[str]
    words: str
    files: dict[str, str | bytes] = {}


def changed(key: str, value: str) -> dict[str, str]:
    """A config file that sets a key, whatever its type."""
    setting = f"with c.ignore_type(): c.update_from_flattened_dict({{{key!r}: {value}}})"
    return {"mine.py": MODULE.format(f"{setting}\n    return c")}


def file(body: str) -> dict[str, str]:
    return {"mine.py": MODULE.format(body)}


def overrides(*pairs: tuple[str, str, str]) -> dict[str, Case]:
    return {f"{key}={value[:20]!r}": Case(["search", DIGITS, f"--config.{key}={value}"], w) for key, value, w in pairs}


MINE = ["search", "--config=mine.py"]
TABLE = {
    # The words of a command line.
    "no command": Case(["serch"], "no command 'serch': did you mean search?"),
    "a command of no word": Case([""], "there is no command ''"),
    "a command that is not in UTF-8": Case([NOT_UTF8], "there is no command"),
    "a very long command": Case([LONG], "there is no command 'xxx"),
    "a flag before the command": Case(["--x", "search"], "No such option '--x'"),
    "no config": Case(["search"], "--config is missing: try --config=digits"),
    "a config of no name": Case(["search", "--config="], "--config is missing"),
    "a config without its value": Case(["search", "--config"], "'--config' requires an argument"),
    "what follows --": Case(["search", DIGITS, "--", "x"], "unexpected argument 'x'"),
    "an unknown flag": Case(["search", DIGITS, "--wrokdir=x"], "No such option '--wrokdir'"),
    "a flag with a value too many": Case(["search", DIGITS, "--dry_run=3"], "does not take a value"),
    "a flag that another command has": Case(["evaluate", "run", "--workdir=x"], "No such option '--workdir'"),
    "a number that is none": Case(["predict", "run", "a.png", "--top=many"], "'--top': 'many' is not a valid integer"),
    "a number out of range": Case(
        ["compare", DIGITS, "--seeds=1000000000"], "1000000000 is not in the range 1<=x<=1000"
    ),
    "a format that is none": Case(["export", "run", "--format="], "'--format': '' is not one of 'stablehlo'"),
    "an argument too many": Case(["configs", "digits", "cifar10"], "unexpected extra argument (cifar10)"),
    "two runs": Case(["transfer", "one", "two"], "unexpected argument 'two'"),
    "no run": Case(["predict"], "Missing argument 'WORKDIR'"),
    # Paths.
    "a work directory that is not in UTF-8": Case(
        ["search", DIGITS, f"--workdir={NOT_UTF8}"], "not in UTF-8; rename it"
    ),
    "a work directory with NUL": Case(["search", DIGITS, "--workdir=\0"], r"--workdir='\x00': has control characters"),
    "a work directory of two lines": Case(["search", DIGITS, "--workdir=a\nb"], r"--workdir='a\nb': has control"),
    "a long work directory": Case(
        ["search", DIGITS, f"--workdir={LONG}"], "is longer than file systems allow; choose a sh"
    ),
    "a file for a work directory": Case(["search", DIGITS, "--workdir=a"], "a is not empty and not a run", {"a": "x"}),
    "a work directory in a file": Case(["search", DIGITS, "--workdir=a/b"], "(Not a directory): choose", {"a": "x"}),
    "a device for a work directory": Case(
        ["search", DIGITS, "--workdir=/dev/null"], "/dev/null is not empty and not a"
    ),
    "brackets": Case(["search", DIGITS, "--workdir=[x]"], "has brackets, under which Orbax loses checkpoints"),
    "a bucket": Case(["search", DIGITS, "--workdir=gs://a/b"], "gs: is not supported, only paths on this machine"),
    "no such home": Case(["search", DIGITS, "--workdir=~nobody_here/x"], "no such home directory; write the path out"),
    "a run that is a file": Case(["evaluate", "a"], "a holds no finished run", {"a": "x"}),
    "a run that is not there": Case(["transfer", "nowhere"], "nowhere holds no finished run"),
    "a run of no name": Case(
        ["search", DIGITS, "--config.source="], "config.source='': is empty: give a work directory"
    ),
    "train from a file": Case(["train", "a"], "a holds no run of jaxstage", {"a": "x"}),
    "a page of nothing": Case(["report", "."], ". is no work directory"),
    "a page of a file": Case(["report", "a"], "there is no directory a: check the name", {"a": "x"}),
    "a page of a run that is not in UTF-8": Case(["report", NOT_UTF8], "is not in UTF-8; rename it"),
    "pictures of no run": Case(["predict", "\0", "a.png"], "WORKDIR='\\x00': has control characters"),
    "an export of no run": Case(["export", "nowhere", "--format=stablehlo"], "nowhere holds no finished run"),
    "an export into a file": Case(["export", "x", "--format=stablehlo", "--out=a"], "a is there already", {"a": "x"}),
    "a table of no name": Case(["latency", DIGITS, "--out="], "--out is empty: give a path"),
    "a table in a file": Case(["latency", DIGITS, "--out=a/b"], "--out=a/b: give a file, in a directory", {"a": "x"}),
    "no table": Case(
        ["search", DIGITS, "--config.growth.latency_table=no.json"], "cannot read no.json (No such file or directory)"
    ),
    # Config files.
    "a config of binary": Case(MINE, "SyntaxError", {"mine.py": b"\xff\xfe\0"}),
    "a config to print, of binary": Case(
        ["configs", "mine.py"], "mine.py is no text in UTF-8", {"mine.py": b"\xff\xfe"}
    ),
    "a config that is empty": Case(MINE, "mine.py has no function get_config: write one", {"mine.py": ""}),
    "a config that is no function": Case(MINE, "mine.py has no function get_config", {"mine.py": "get_config = 3"}),
    "a config that returns nothing": Case(MINE, "returned None (NoneType): expected a config", file("pass")),
    "a config that returns a dict": Case(MINE, "returned {'seed': 1} (dict)", file("return {'seed': 1}")),
    "a config that ends the program": Case(MINE, "ends the program (SystemExit: 0)", file("raise SystemExit(0)")),
    "a config without end": Case(MINE, "RecursionError", file("return get_config()")),
    "a config that fails": Case(MINE, "mine.py, line 4: ZeroDivisionError: division by zero", file("return 1 / 0")),
    "an error of several lines": Case(MINE, "line 4: ValueError: one two", file(r"raise ValueError('one\ntwo')")),
    "a config with a key too many": Case(MINE, "unknown: typo", file("c.unlock(); c.typo = 1; return c")),
    "a misspelt key in a config": Case(MINE, 'Key "sead" does not exist', file("c.sead = 1; return c")),
    "a preset of a config that has none": Case(["search", "--config=digits:x"], "no preset 'x': ", {}),
    "an unknown preset": Case(
        ["search", "--config=cifar10:huge"], "unknown preset 'huge': choose one of full, fast, smoke"
    ),
    "a folder for a config": Case(["search", "--config=."], "there is no config file ."),
    **{
        f"None for {key}": Case(MINE, f"config.{key}=None: must be {kind}", changed(key, "None"))
        for key, kind in {
            "seed": "a whole",
            "data.flip": "True",
            "model.depths": "a tuple",
            "data.name": "text",
        }.items()
    },
    "a set for a tuple": Case(MINE, "config.model.depths={1, 2}: must be a tuple", changed("model.depths", "{1, 2}")),
    "True for a number": Case(MINE, "config.batch_size=True: must be a whole number", changed("batch_size", "True")),
    "a text for a number": Case(
        MINE, "config.optimizer.momentum='x': must be a finite", changed("optimizer.momentum", "'x'")
    ),
    "an object": Case(MINE, "config.data.name=<object object at", changed("data.name", "object()")),
    # Values of keys.
    **overrides(
        ("modle.depths", "(1,)", "did you mean 'model.depths'?"),
        ("", "1", "unknown config key ''"),
        ("seed", "1.5", "--config.seed=1.5"),
        ("seed", "", "--config.seed="),
        ("seed", "9" * 30, "must be at most 4,294,967,295"),
        ("seed", "9" * 5000, "--config.seed=999"),
        ("data.flip", "maybe", "Non-boolean argument"),
        ("model", "(1)", "--config.model=(1)"),
        ("model.depths", "(1,", "--config.model.depths=(1,"),
        ("model.depths", "((1,2),3)", "config.model.depths=((1, 2), 3): must be a tuple of whole numbers"),
        ("model.depths", "(1000000,1,1)", "must be at most 600"),
        ("model.depths", "(300,300,300)", "must be at most 600 blocks in all"),
        ("model.depths", f"({'1,' * 101})", "must have at most 100 numbers"),
        ("model.widths", "(1000000000,1,1)", "must be at most 65,536"),
        ("model.widths", "(60000,60000,60000)", "GiB for the network"),
        ("data.image_size", "1000000", "config.data.image_size=1000000: must be at most 4,096"),
        ("batch_size", "1000000000000", "config.batch_size=1000000000000: must be at most 2,147,483,647"),
        ("final.epochs", "1000000000", "config.final.epochs=1000000000: must be at most 100,000"),
        ("optimizer.learning_rate", "nan", "config.optimizer.learning_rate=nan: must be a finite number"),
        ("optimizer.weight_decay", "inf", "config.optimizer.weight_decay=inf: must be a finite number"),
        ("growth.margin", "1e400", "config.growth.margin=inf: must be a finite number"),
        ("energy.device_watts", "0", "config.energy.device_watts=0.0: must be greater than 0 (or None)"),
        ("final.drop_factor", "-1", "config.final.drop_factor=-1.0: must be greater than 0"),
        ("data.workers", "1000000", "config.data.workers=1000000: must be at most 1,024"),
        ("data.crop_scale", "(0.5,nan)", "config.data.crop_scale=('(0.5,nan)',): must be a tuple of finite numbers"),
        ("data.name", "a\nb", r"config.data.name='a\nb': must be text of one line"),
        ("data.name", NOT_UTF8, "must be text of one line, without control characters"),
        ("data.name", "../nowhere_at_all", "data set '../nowhere_at_all' is not in"),
        ("data.name", ":", "':' cannot be imported (no name of a function): give"),
        ("data.name", ".a:b", "'.a:b' cannot be imported (no name of a function)"),
        ("data.name", "no_module:f", "cannot be imported (No module named 'no_module')"),
        ("data.name", "os:path", "os:path is <module 'posixpath' (frozen)> (module): expected a function"),
        ("data.name", "os:getcwd", "expected a Source"),
        ("data.dir", "\0", r"config.data.dir='\x00': must be text of one line"),
        ("model.family", "os:sep", "os:sep is '/' (str): expected a function from depths"),
        ("growth.rule", "os:sep", "os:sep is '/' (str): expected a growth rule"),
    ),
    "a method of one's own that is not there": Case(
        ["search", DIGITS, "--config.importance.method=no_module:f"], "cannot be imported (No module named 'no_module')"
    ),
    # Other processes, comparisons, data sets.
    "one flag of several hosts": Case(["search", DIGITS, "--process_id=0"], "belong together: give all or none"),
    "a dry run of several hosts": Case(["search", DIGITS, "--dry_run", "--coordinator=a:1"], "measures on one host"),
    "arms of no name": Case(["compare", DIGITS, "--arms=,"], "there is no arm ''"),
    "a rule that is not there": Case(["compare", DIGITS, "--arms=search,no_module:f"], "cannot be imported"),
    "seeds beyond the last": Case(["compare", DIGITS, "--config.seed=4294967295"], "seed=4294967296: must be at most"),
    "a folder that is not there": Case(
        ["prepare", "x", "--folder=nowhere", "--data_dir=."], "there is no folder nowhere"
    ),
    "a file for a folder": Case(["prepare", "x", "--folder=a", "--data_dir=."], "there is no folder a", {"a": "x"}),
    "a folder of no name": Case(["prepare", "x", "--folder="], "--folder is empty: give a path"),
    "a folder without images": Case(
        ["prepare", "x", "--folder=."], "has no images in CLASS/ or train/CLASS/: put them there"
    ),
    "a set with a bad name": Case(["prepare", "x/y", "--folder=."], "'x/y' is no name for a set: use small letters"),
    "a set with a long name": Case(["prepare", LONG, "--folder=."], "is longer than file systems allow"),
}


@pytest.fixture
def ended(tmp_path, monkeypatch, capsys):
    """Runs something in a folder with files; returns its exit code and the line that it ends with."""

    def run(call: Callable, files: dict[str, str | bytes]) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(SystemExit) as end:
            call()
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == sorted(files)
        err, code = capsys.readouterr().err, end.value.code
        return (1, f"{err}{code}") if isinstance(code, str) else (int(code or 0), err)

    return run


@pytest.mark.parametrize("name", TABLE)
def test_what_cannot_work_ends_in_one_line(name, ended, monkeypatch):
    monkeypatch.delattr("jaxstage.depth_search.driver.run")  # nothing may come that far
    case = TABLE[name]
    code, told = ended(lambda: cli.main(case.typed), case.files)
    assert code in (1, 2), told
    assert re.fullmatch(r"error: [^\n]+\n?", told) and case.words in told and len(told) < 2100, told


def test_keras_files_likewise(ended):
    for typed, words in {
        (): "--out",
        ("a.h5", "--out"): "--out",
        ("a.h5", "--out=x", "--depth=3"): "--depth",
        ("no.h5", "--out=x"): "there is no file no.h5: check the name",
        ("no.h5", "--out=\0"): "has control characters",
    }.items():
        code, told = ended(lambda: keras.main(list(typed)), {})
        assert code == 1 and re.fullmatch(r"error: [^\n]+\n?", told) and words in told, told


def test_only_a_regular_file_is_replaced(tmp_path):
    """Not a device, say, which a privileged user could."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"cannot write .*/pipe \(not a regular file\): choose another place"):
        write_text(tmp_path / "pipe", "x")
    assert (tmp_path / "pipe").is_fifo()


def test_from_python_likewise():
    for call, words in (
        (lambda: jaxstage.search(None), "a config is expected, not None"),
        (lambda: jaxstage.search({"seed": 1}), "start from jaxstage.config.default()"),
        (
            lambda: jaxstage.search(configs.load("digits", {"seed": 2**40})),
            "config.seed=1099511627776: must be at most",
        ),
        (lambda: configs.load("digits", {"optimizer.momentum": 10**400}), "config.optimizer.momentum=1000"),
        (lambda: configs.load("digits", {"optimizer.momentum": 10**5000}), "config.optimizer.momentum=<int>"),
        (lambda: configs.load("digits", {"seed": "1"}), "config.seed='1'"),
        (lambda: configs.load("digits", {"sead": 1}), "unknown config key 'sead'"),
        (lambda: jaxstage.load("nowhere"), "nowhere holds no finished run"),
        (lambda: jaxstage.load(""), "WORKDIR is empty"),
    ):
        with pytest.raises(UserError) as error:
            call()
        assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "typed, words",
    [
        (["jaxstage", "search", b"--config=caf\xe9"], "is not in UTF-8; rename it"),
        (["jaxstage.main", b"--config=caf\xe9"], "is not in UTF-8; rename it"),
        (["jaxstage.main", "--config=ends.py"], "ends the program (SystemExit: 0)"),
        (["jaxstage.main", "--config=none.py"], "config.seed=None: must be a whole number"),
        (["jaxstage.main", "--config=empty.py"], "has no function get_config"),
        (
            ["jaxstage.main", "--config=digits", *["--config.model.depths=(1,1,1)"] * 2, "--config.seed=-1"],
            "config.seed=-1",
        ),
        (["jaxstage.data.prepare", "x", "--folder=nowhere"], "there is no folder nowhere"),
        (["jaxstage.interop.keras"], "are required"),
    ],
)
def test_as_a_program_likewise(typed, words, tmp_path):
    (tmp_path / "ends.py").write_text("def get_config(): raise SystemExit(0)\n")
    (tmp_path / "none.py").write_text(changed("seed", "None")["mine.py"])
    (tmp_path / "empty.py").touch()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    before = sorted(tmp_path.iterdir())
    process = subprocess.run(
        [sys.executable, "-m", *typed], cwd=tmp_path, env=environment, capture_output=True, timeout=120
    )
    told = process.stderr.decode()
    assert process.returncode in (1, 2) and re.fullmatch(r"error: [^\n]+\n", told) and words in told, told
    assert sorted(tmp_path.iterdir()) == before
