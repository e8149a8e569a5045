"""The benchmarks still run: their figures are not looked at."""

import json
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY


def benchmark(name, *flags):
    return subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *flags],
        cwd=REPOSITORY,
        env={**os.environ, "XLA_FLAGS": ""},
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


def test_nas_bench_macro(nas_bench_macro, tmp_path):
    process = benchmark(
        "nas_bench_macro",
        "--preset=toy",
        f"--out={tmp_path / 'nas_bench_macro'}",
        f"--root={tmp_path / 'runs'}",
        f"--table={nas_bench_macro / 'mb3_k3.json'}",
    )
    assert process.returncode == 0, process.stderr[-2000:]
    written = json.loads((tmp_path / "nas_bench_macro" / "toy.json").read_text())
    assert written["command"] == "python benchmarks/nas_bench_macro.py --preset=toy"
    (found,) = written["results"]["searches"].values()
    (decision,) = found["decisions"]
    assert sum(found["depths"]) == 3 + (decision["picked"] is not None) and decision["best"] == 1
    grown = [stage for stage, scored in enumerate(found["rounds"][0]) if scored["grows"]]
    assert grown == ([] if decision["picked"] is None else [decision["picked"]])
    assert written["results"]["methods"]["perturbation"]["accuracy"]["mean"] == found["accuracy"] > 85
    assert written["results"]["bounds"]["greedy"]["agreement"] == 1
    assert "regret" in process.stdout and "(random)" in process.stdout


def test_report_page():
    process = benchmark("report_page", "--rounds=1", "--turns=1")
    assert process.returncode == 0 and "1 rounds, 0." in process.stdout, process.stderr[-2000:]
