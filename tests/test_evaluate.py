"""Task evaluate: the published network has its published figures, and the answer to every mistake is one line."""

import numpy as np
import pytest
from conftest import result_of


@pytest.fixture(scope="module")
def imported(official, cifar10_dir, tmp_path_factory):
    from jaxstage.interop import keras

    workdir = tmp_path_factory.mktemp("imported") / "residual_1"
    keras.main([str(official / "residual_1.h5"), "--out", str(workdir), "--data-dir", cifar10_dir])
    return workdir


def test_published_accuracy(imported, cifar10_dir, program):
    """85.72 % on the JPEG copy of the test split (../shared/official/README.md)."""
    result = result_of(
        program(
            "--config=configs/evaluate.py",
            f"--config.source={imported}",
            f"--config.data.dir={cifar10_dir}",
            "--config.evaluate.latency_runs=3",
        )
    )
    assert result["accuracy"] == pytest.approx(0.8572, abs=2e-4)
    assert np.mean(list(result["per_class_accuracy"].values())) == pytest.approx(result["balanced_accuracy"])
    assert sum(row[place] for place, row in enumerate(result["confusion"])) == round(10_000 * result["accuracy"])
    assert (result["parameters"], result["trainable_parameters"], result["macs"]) == (652_650, 649_290, 111_592_064)
    assert result["depths"] == [8, 10, 6] and result["examples"] == 10_000 and 0 < result["loss"] < 1
    assert 0 < result["latency_ms"]["1"] < result["latency_ms"]["128"]


def test_other_data_and_splits(imported, cifar10_dir, program):
    common = ("--config=configs/evaluate.py", f"--config.source={imported}", f"--config.data.dir={cifar10_dir}")
    for arguments, message in {
        ("--config.data.name=digits",): "takes images (32, 32, 3) of 10 classes, config.data.name='digits' has (32,",
        ("--config.evaluate.split=extra",): "config.evaluate.split='extra': cifar10 has only test, train",
        (f"--config.source={imported}/nothing",): "holds no finished run",
        ("--workdir=elsewhere",): "--workdir has no use with task evaluate",
    }.items():
        process = program(*common, *arguments)
        assert process.returncode == 1
        assert process.stderr.strip().splitlines()[-1].startswith("error: ") and message in process.stderr
