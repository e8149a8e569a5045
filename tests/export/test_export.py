"""Exports against the Flax network, each in its own runtime and by the example that comes with it."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

import jaxstage
from jaxstage import cli
from jaxstage.config import default, plain
from jaxstage.data import Normalization
from jaxstage.errors import UserError
from jaxstage.export import FORMATS, export
from jaxstage.models import build
from jaxstage.workdir import networks

IMAGENET_STEM = {"block": "bottleneck", "stem": "imagenet", "size": 36}
PAPER = {"stem": "cifar_stride2", "conv_bias": True, "shortcut_norm": False, "bn_epsilon": 1e-3, "size": 18}


def run_of(workdir, size=16, **model):
    """A work directory with a small network whose batch statistics and biases are no longer those it begins with."""
    model = {**plain(default().model), "depths": [2, 1], "widths": [4, 8], **model}
    shape, random = (size, size, 3), np.random.default_rng(0)
    module = build(model, model["depths"], 3)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape)))

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return random.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return random.normal(0, 0.3, leaf.shape).astype(np.float32)

    shapes = {name: shapes[name] for name in ("params", "batch_stats")}
    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    normalization = Normalization(np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.3, 0.25]))
    metadata = networks.describe(model, variables, "toy", ("red", "green", "blue"), shape, normalization)
    workdir.mkdir()
    networks.write(workdir, metadata, jax.device_put(variables))
    return workdir


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("basic") / "run")


def need(format):
    for package in FORMATS[format][0]:
        pytest.importorskip(package)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("model", [IMAGENET_STEM, PAPER], ids=["imagenet_stem", "paper"])
def test_the_same_logits(format, model, tmp_path):
    need(format)
    result = export(run_of(tmp_path / "run", **model), format)
    written = [path.stat().st_mode & 0o777 for path in (tmp_path / "run" / "exports" / format).iterdir()]
    assert len(set(written)) == 1  # no file that others may not read
    assert 0 <= result["largest_difference"] <= 1e-4


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_inverted_residuals(format, tmp_path):
    need(format)
    model = {"family": "mobilenet", "kernel": 5, "stem_width": 6, "head_width": 12}
    export(run_of(tmp_path / "run", **model), format)


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_what_imported_networks_have(format, tmp_path):
    need(format)
    lite = {"expansion": [0, 2], "kernel": [3, 5], "strides": [1, 2], "activation": "relu6", "stem": "cifar_stride2"}
    export(run_of(tmp_path / "lite", family="mobilenet", stem_width=4, head_width=12, **lite), format)
    export(run_of(tmp_path / "padded", **{**IMAGENET_STEM, "padding": "torch"}), format)
    export(run_of(tmp_path / "both", family="mobilenet", kernel=5, stem="imagenet", padding="torch", size=37), format)


def test_an_architecture_that_is_older_than_padding_is_exported(tmp_path):
    need("torch")
    workdir = run_of(tmp_path / "run", family="mobilenet", stem_width=6, head_width=12)
    path = workdir / "final" / "architecture.json"
    described = json.loads(path.read_text())
    for key in ("padding", "strides", "activation"):
        del described["model"][key]
    path.write_text(json.dumps(described))
    export(workdir, "torch")


def test_cells(tmp_path):
    export(run_of(tmp_path / "run", family="nasnet", depths=[1], widths=[2]), "stablehlo")


def test_a_network_trained_in_bfloat16_is_exported_in_float32(tmp_path):
    need("safetensors")
    assert export(run_of(tmp_path / "run", dtype="bfloat16"), "safetensors")["largest_difference"] < 1e-4


@pytest.mark.parametrize("format", FORMATS)
def test_the_command_and_the_example_that_it_writes(format, basic, tmp_path, capsys):
    need(format)
    cli.main(["export", str(basic), f"--format={format}"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["folder"] == str(basic / "exports" / format) and "architecture.json" in result["files"]
    pictures, random = [], np.random.default_rng(0)
    for number, (suffix, color) in enumerate([("jpg", 0), ("png", 200), ("webp", 90)]):
        pixels = random.integers(color, color + 50, (70 + number, 90, 3), np.uint8)
        pictures.append(str(tmp_path / f"{number}.{suffix}"))
        exif = PIL.Image.Exif()
        exif[0x0112] = 6  # on its side
        PIL.Image.fromarray(pixels).save(pictures[-1], exif=exif)
    command = [sys.executable, f"{result['folder']}/example.py"]
    process = subprocess.run([*command, *pictures], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.strip() == str([found.label for found in jaxstage.predict(basic, pictures)])
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 1 and process.stderr.strip().splitlines()[-1].startswith("give pictures: ")


def test_names_say_where_a_tensor_belongs(basic, tmp_path):
    need("safetensors")
    export(basic, "safetensors", tmp_path / "out")
    names = json.loads((tmp_path / "out" / "names.json").read_text())
    kernel = names["params.stage2_block01.conv1.kernel"]
    assert (kernel["stage"], kernel["block"], kernel["shape"]) == (2, 1, [3, 3, 4, 8])
    assert names["batch_stats.stem_norm.mean"]["stage"] is None


def test_an_export_that_differs_is_not_written(basic, tmp_path, monkeypatch):
    exporter = pytest.importorskip("jaxstage.export.safetensors")
    run = exporter.run
    monkeypatch.setattr(exporter, "run", lambda *arguments: run(*arguments) + 1e-2)
    with pytest.raises(UserError, match="the safetensors export differs"):
        export(basic, "safetensors", tmp_path / "out" / "deep")
    assert not list(tmp_path.rglob("*.*"))


def test_a_family_without_pytorch_code_is_named(tmp_path):
    need("torch")
    workdir = run_of(tmp_path / "run", family="nasnet")
    with pytest.raises(UserError, match="family 'nasnet' has no PyTorch code"):
        export(workdir, "torch")
    assert not (workdir / "exports" / "torch").exists()


def test_mistakes_are_one_line(basic, tmp_path, capsys, monkeypatch):
    def error(*arguments):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["export", *(str(argument) for argument in arguments)])
        return str(stopped.value)

    (tmp_path / "mine").write_text("")
    assert "no finished run" in error(tmp_path, "--format=stablehlo")
    assert "is there already" in error(basic, "--format=stablehlo", f"--out={tmp_path / 'mine'}")
    assert "is there already" in error(basic, "--format=stablehlo", f"--out={tmp_path}")
    monkeypatch.setitem(FORMATS, "stablehlo", (("no_such_package",), "extra"))
    assert error(basic, "--format=stablehlo") == (
        "error: format stablehlo needs no_such_package: pip install 'jaxstage[extra]'"
    )
    assert (tmp_path / "mine").read_text() == ""
