"""The command line: what a newcomer, and a newcomer's mistakes, get to see."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY, result_of, virtual_devices, write_toy

import jaxstage
from jaxstage import config as configs
from jaxstage.data import load_test
from jaxstage.errors import UserError

DIGITS = "--config=configs/digits.py"


def test_help_explains_itself(program):
    process = program("--help")
    assert process.returncode == 0
    for text in ("python -m jaxstage.main --config=", "--workdir", "--config.model.depths=(2, 2, 2)", "continues"):
        assert text in process.stdout
    assert "  --config.seed=0\n      of everything random\n" in process.stdout


def test_importing_is_light_and_without_tensorflow():
    code = "import jaxstage, sys; print(sorted({'jax', 'tensorflow', 'flax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_what_is_deprecated_and_used_by_jaxstage_is_an_error_in_programs_too():
    warn = "import warnings; warnings.warn_explicit('old', DeprecationWarning, 'file', 1, module='{}')"
    ends = lambda module: subprocess.run([sys.executable, "-c", warn.format(module)], capture_output=True).returncode
    assert (ends("jaxstage.cost"), ends("jaxstage.models"), ends("jax.numpy")) == (1, 1, 0)


@pytest.mark.parametrize(
    "flags, text",
    [
        (["--config=nowhere.py"], "nowhere.py"),
        (["--config=configs/cifar10.py:huge"], "choose one of full, fast, smoke"),
        ([DIGITS, "--config.model.depth=3"], "unknown config key 'model.depth': did you mean 'model.depths'?"),
        ([DIGITS, "--config.batch_size=many"], "--config.batch_size=many"),
        ([DIGITS, "--config.batch_size=0"], "config.batch_size=0"),
        ([DIGITS, "--config.batch_size=5000"], "more than the 1293 training examples"),
        ([DIGITS, "--config.model.depths=(1,0,1)"], "config.model.depths=(1, 0, 1)"),
        ([DIGITS, "--config.model.depths=(1,-1,1)"], "config.model.depths=(1, -1, 1)"),
        ([DIGITS, "--config.model.depths=(1,1)"], "config.model.depths=(1, 1) has 2 stages"),
        ([DIGITS, "--config.devices=9"], "config.devices=9"),
        ([DIGITS, "--worksdir=x"], "worksdir"),
        ([DIGITS, "stray"], "unexpected argument 'stray'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(program, tmp_path, flags, text):
    workdir = tmp_path / "run"
    process = program(*flags, f"--workdir={workdir}")
    assert process.returncode not in (0, -6, -11)
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and text in lines[0], process.stderr
    assert not workdir.exists()


@pytest.mark.parametrize(
    "body, text",
    [
        ("c = default()\n    c.batchsize = 3\n    return c", 'line 4: AttributeError: Key "batchsize" does not exist'),
        (
            "c = default()\n    c.batch_size = 'many'\n    return c",
            "line 4: TypeError: Could not override field 'batch_size'",
        ),
        ("return 1 / 0", "line 3: ZeroDivisionError"),
        ("return ][", "SyntaxError"),
        (
            "from ml_collections import ConfigDict\n    return ConfigDict({'seed': 1})",
            "start from jaxstage.config.default()",
        ),
    ],
)
def test_a_mistake_in_a_config_file_is_one_line(program, tmp_path, body, text):
    path = tmp_path / "mine.py"
    path.write_text(f"from jaxstage.config import default\ndef get_config():\n    {body}\n")
    process = subprocess.run(
        [sys.executable, "-m", "jaxstage.main", f"--config={path}"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert process.returncode in (1, 2)
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1 and text in process.stderr


def test_no_config_names_one_to_start_with():
    process = subprocess.run([sys.executable, "-m", "jaxstage.main"], cwd=REPOSITORY, capture_output=True, text=True)
    assert process.returncode != 0 and "--config=configs/digits.py" in process.stderr


def test_a_missing_data_set_is_told_at_once_with_the_command_that_prepares_it(program, tmp_path):
    process = program(
        "--config=configs/cifar100.py:smoke", f"--config.data.dir={tmp_path}", "--workdir=never", timeout=600
    )
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1 and "python -m jaxstage.data.prepare cifar100" in process.stderr


@pytest.mark.parametrize("share, ends", [(0.001, False), (0.2, True)])
def test_broken_images_are_named_and_too_many_stop_the_run(program, tmp_path, tiny_search, share, ends):
    data = write_toy(tmp_path / "tfds", broken={3: b"", 50: b"GIF89a and no more", 70: b"<html>"})
    process = program(
        *tiny_search,
        "--config.task=train",
        "--config.data.name=toy",
        f"--config.data.dir={data}",
        "--config.data.input=streaming",
        f"--config.data.max_broken={share}",
        "--config.batch_size=16",
        "--config.importance.examples=30",
        "--config.final.epochs=2",
        f"--workdir={tmp_path / 'run'}",
    )
    assert process.stderr.splitlines()[0].startswith("warning: toy/train[") and "is skipped: n" in process.stderr
    if ends:
        result_of(process)
    else:
        assert process.returncode == 1 and "Traceback" not in process.stderr
        assert "more than config.data.max_broken=0.001 of them" in process.stderr.splitlines()[-1]


def test_a_diverging_loss_stops_keeps_the_last_good_state_and_names_the_knob(program, tmp_path, tiny_search):
    process = program(*tiny_search, f"--workdir={tmp_path / 'run'}", "--config.optimizer.learning_rate=1e30")
    assert process.returncode == 1
    assert "the loss became nan at step" in process.stderr and "learning_rate" in process.stderr
    assert not list((tmp_path / "run" / "checkpoints" / "r00_start").glob("[0-9]*"))


@pytest.mark.parametrize("room", ["size=400k", "nr_inodes=38"])
def test_a_full_disk_is_one_line_and_the_run_continues_when_there_is_room(tmp_path, program, tiny_search, room):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", room, "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        process = program(*tiny_search, f"--workdir={disk / 'run'}")
        assert process.returncode == 1 and process.stderr.count("\n") == 1, process.stderr
        assert process.stderr.startswith("error: the disk is full")
        subprocess.run(["mount", "-o", "remount,size=100m,nr_inodes=9999", disk], check=True)
        result_of(program(*tiny_search, f"--workdir={disk / 'run'}"))
    finally:
        subprocess.run(["umount", disk])


def test_writes_under_way_when_a_save_fails_are_not_told_and_other_errors_are():
    code = """
import asyncio, tensorstore
from jaxstage.cli.ends import quiet

async def fails():
    raise OSError("the disk is full")

async def save():
    asyncio.create_task(fails())
    await asyncio.gather(write, fails())

class Other:
    def __del__(self):
        raise RuntimeError("Event loop is closed")

quiet()
promise, write = tensorstore.Promise.new()
loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(save())
except OSError as error:
    print(error)
loop.close()
promise.set_result(None)
{}
"""
    for other, tracebacks in (("", 0), ("Other()", 1)):
        process = subprocess.run([sys.executable, "-c", code.format(other)], capture_output=True, text=True)
        assert process.stdout == "the disk is full\n"
        assert process.stderr.count("Traceback") == tracebacks, process.stderr


def test_training_given_depths_with_a_profile(program, tmp_path, tiny_search):
    workdir = tmp_path / "run"
    result = result_of(program(*tiny_search, "--config.task=train", "--config.profile=true", f"--workdir={workdir}"))
    assert list((workdir / "profile" / "final").rglob("*.xplane.pb"))
    assert list((workdir / "profile" / "final").rglob("perfetto_trace.json.gz"))
    assert result["depths"] == [1, 1] and result["models_trained"] == 1


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory, toy_tfds, tiny_search, compilation_cache):
    """A finished search on a TFDS set with pmap on four devices, and its process."""
    workdir = tmp_path_factory.mktemp("toy") / "run"
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "jaxstage.main",
            *tiny_search,
            "--config.data.name=toy",
            f"--config.data.dir={toy_tfds}",
            "--config.batch_size=16",
            "--config.importance.examples=30",
            "--config.parallel=pmap",
            "--config.devices=4",
            "--config.inherit.method=gauss",
            f"--workdir={workdir}",
            f"--config.compilation_cache={compilation_cache}",
        ],
        cwd=REPOSITORY,
        env={**os.environ, **virtual_devices(4)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    return workdir, process


def test_any_tfds_set_is_searched_by_its_name(toy_run):
    workdir, process = toy_run
    result = result_of(process)
    assert set(result) == {
        "depths",
        "parameters",
        "macs",
        "separable_macs",
        "test_accuracy",
        "test_balanced_accuracy",
        "models_trained",
        "seconds",
        "energy",
        "workdir",
    }
    assert all(part["kwh"] > 0 for part in result["energy"].values())
    assert result["test_accuracy"] > 0.9 and result["workdir"] == str(workdir)


def test_what_a_run_leaves(toy_run):
    workdir, _ = toy_run
    assert {path.name for path in workdir.iterdir() if not path.name.startswith(".")} == {
        "config.json",
        "config.json.copy",
        "search.json",
        "search.json.copy",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "final",
        "report.html",
        "test.json",
    }
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert {"train", "validation"} == {line["split"] for line in lines}
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert list((workdir / "tensorboard" / "final").iterdir())


def test_the_round_table_says_what_grew_and_why(toy_run):
    _, process = toy_run
    for text in (
        "importance before",
        "±",
        "grown",
        "why",
        "parameters",
        "MACs",
        "validation accuracy",
        "models trained",
    ):
        assert text in process.stdout


def test_load_gives_the_network_that_was_tested(toy_run, toy_tfds):
    workdir, process = toy_run
    module, variables, metadata = jaxstage.load(workdir)
    config = configs.default().data
    config.name, config.dir = "toy", str(toy_tfds)
    test = load_test(config)
    logits = module.apply(variables, (test.image / 255 - metadata["mean"]) / metadata["std"])
    assert (logits.argmax(-1) == test.label).mean() == pytest.approx(metadata["test_accuracy"])
    result = result_of(process)
    assert [metadata[key] for key in ("depths", "parameters", "macs")] == [
        result[key] for key in ("depths", "parameters", "macs")
    ]
    for key in ("family", "widths", "num_classes", "input_shape", "validation_accuracy", "seed", "versions"):
        assert key in metadata


def test_load_says_what_is_wrong(tmp_path, toy_run):
    with pytest.raises(UserError, match="no finished run"):
        jaxstage.load(tmp_path)
    import shutil

    shutil.copytree(toy_run[0], tmp_path / "copy")
    path = tmp_path / "copy" / "final" / "architecture.json"
    architecture = json.loads(path.read_text())
    path.write_text(json.dumps({**architecture, "weights_sha256": "0"}))
    with pytest.raises(UserError, match="damaged"):
        jaxstage.load(tmp_path / "copy")
