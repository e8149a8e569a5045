"""The launch scripts, by their dry run."""
import os
import subprocess

import pytest
from conftest import REPOSITORY


def launch(*arguments, **environment):
    return subprocess.run(
        ["bash", REPOSITORY / "launch" / "gpu.sh", *arguments],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_dry_run_prints_every_command_and_does_nothing(tmp_path):
    venv = tmp_path / "venv"
    process = launch("--dry-run", "configs/cifar10.py:fast", "--config.seed=1", VENV=str(venv))
    assert process.stdout.splitlines() == [
        f"python3 -m venv {venv}",
        f"{venv}/bin/python -m pip install --quiet --editable .[cuda12]",
        f"{venv}/bin/python -m jaxstage.main --config=configs/cifar10.py:fast --config.seed=1",
    ]
    assert not venv.exists()


@pytest.mark.parametrize("arguments", [[], ["--dry-run"], ["--config=x"]])
def test_without_a_config_it_says_how_to_use_it(arguments):
    process = launch(*arguments)
    assert process.returncode == 2 and process.stderr.startswith("usage:")
