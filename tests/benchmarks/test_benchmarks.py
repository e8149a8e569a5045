"""The benchmarks still run: their figures are not looked at."""

import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY


def benchmark(name, *flags):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *flags],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_importance_compiles_the_network_once():
    process = benchmark("importance", "--config=configs/digits.py", "--config.importance.shares=2")
    assert process.returncode == 0, process.stderr[-2000:]
    first, again = [line for line in process.stdout.splitlines() if line.startswith("importance")]
    assert "in 1 compilation(s)" in first


def test_search_cost(tiny_search, compilation_cache):
    process = benchmark("search_cost", *tiny_search, f"--config.compilation_cache={compilation_cache}")
    assert process.returncode == 0, process.stderr[-2000:]
    for text in ("training", "importance", "compilation", "saving", "input", "training runs of the final network"):
        assert text in process.stdout


def test_training_step_against_pytorch():
    pytest.importorskip("torch", reason="PyTorch is an extra of the benchmarks")
    process = benchmark("train_step", "--depths=1,1", "--widths=4,8", "--batch=16", "--turns=1", "--steps=1")
    assert process.returncode == 0, process.stderr[-2000:]
    assert "ratio" in process.stdout


def test_input_pipeline_against_pytorch(toy_tfds):
    pytest.importorskip("torchvision", reason="torchvision is an extra of the benchmarks")
    process = benchmark(
        "input_pipeline",
        "--tfds=toy",
        f"--data_dir={toy_tfds}",
        "--size=16",
        "--batch=8",
        "--batches=2",
        "--turns=1",
        "--epoch=20",
    )
    assert process.returncode == 0, process.stderr[-2000:]
    for text in ("jaxstage, pillow", "peer, float", "where the time goes", "resident size"):
        assert text in process.stdout


def test_imported_networks_against_pytorch():
    pytest.importorskip("torchvision", reason="torchvision is an extra of the benchmarks")
    process = benchmark("pretrained", "--models=resnet18,resnet50", "--image_size=32")
    assert process.returncode == 0, process.stderr[-2000:]
    found = re.findall(r"difference of a logit (\S+), of logits up to (\S+)", process.stdout)
    assert len(found) == 2 and all(float(difference) < 1e-3 * float(largest) for difference, largest in found)


def test_report_page():
    process = benchmark("report_page", "--rounds=1", "--turns=1")
    assert process.returncode == 0 and "1 rounds, 0." in process.stdout, process.stderr[-2000:]


def test_startup():
    process = benchmark("startup")
    assert process.returncode == 0 and "first training step of configs/digits.py, warm" in process.stdout, (
        process.stderr
    )
