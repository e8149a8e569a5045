"""The launch scripts, by their dry run."""

import os
import shutil
import subprocess

import pytest
from conftest import REPOSITORY

TPU = {"TPU": "node", "ZONE": "us-central2-b", "TYPE": "v4-32", "WORKDIR": "/mnt/runs/one"}
SSH = "gcloud compute tpus tpu-vm ssh node --zone=us-central2-b --worker=all --command="
UNSET = (
    "TPU",
    "ZONE",
    "TYPE",
    "VERSION",
    "WORKDIR",
    "SPOT",
    "TFDS_DATA_DIR",
    "GPUS",
    "TIME",
    "PARTITION",
    "VENV",
    "CUDA",
)


def launch(script, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if name not in UNSET}
    return subprocess.run(
        ["bash", REPOSITORY / "launch" / script, *arguments],
        capture_output=True,
        text=True,
        env={**clean, **environment},
    )


def only_path(tmp_path, nvidia_smi=None):
    """A PATH with what launch/gpu.sh needs and no driver but the one that the shell code `nvidia_smi` plays."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname"):
        (folder / name).symlink_to(shutil.which(name))
    if nvidia_smi is not None:
        (folder / "nvidia-smi").write_text(f"#!/usr/bin/env bash\n{nvidia_smi}\n")
        (folder / "nvidia-smi").chmod(0o755)
    return str(folder)


def driver(version):
    """Shell code of an nvidia-smi that answers as one with two GPUs does."""
    return f'[ "$*" = "--query-gpu=driver_version --format=csv,noheader" ] || exit 2\necho {version}\necho {version}'


@pytest.mark.parametrize("version, extra", [("580.65.06", "cuda13"), ("535.104.05", "cuda12"), (None, "cuda12")])
def test_gpu_prints_every_command_and_does_nothing(version, extra, tmp_path):
    venv = tmp_path / "venv"
    process = launch(
        "gpu.sh",
        "--dry-run",
        "configs/cifar10.py:fast",
        "--config.seed=1",
        VENV=str(venv),
        PATH=only_path(tmp_path, version and driver(version)),
    )
    assert process.stdout.splitlines() == [
        f"python3 -m venv {venv}",
        f"{venv}/bin/python -m pip install --quiet --editable .[{extra}]",
        f"{venv}/bin/python -m jaxstage.main --config=configs/cifar10.py:fast --config.seed=1",
    ]
    assert process.stderr == ("" if version else "no NVIDIA driver found (nvidia-smi): this dry run assumes cuda12\n")
    assert not venv.exists()


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_gpu_names_a_driver_that_is_too_old(dry_run, tmp_path):
    path = only_path(tmp_path, driver("470.256.02"))
    process = launch("gpu.sh", *dry_run, "configs/digits.py", PATH=path, VENV=str(tmp_path / "venv"))
    assert process.returncode == 1 and process.stdout == ""
    assert process.stderr == (
        "error: NVIDIA driver 470.256.02 is too old: install 580 or later for CUDA 13, or at least 525 for CUDA 12\n"
    )


@pytest.mark.parametrize("nvidia_smi", [None, "echo NVIDIA-SMI has failed\nexit 9", "true"])
def test_gpu_without_a_driver_says_what_to_do(nvidia_smi, tmp_path):
    path = only_path(tmp_path, nvidia_smi)
    process = launch("gpu.sh", "configs/digits.py", PATH=path, VENV=str(tmp_path / "venv"))
    assert process.returncode == 1 and process.stdout == "" and len(process.stderr.splitlines()) == 1
    assert process.stderr.startswith("error: no NVIDIA driver found (nvidia-smi): ")
    assert "python -m pip install -e . ;" in process.stderr and "CUDA=cuda12" in process.stderr


def test_gpu_takes_the_named_cuda_whatever_the_driver(tmp_path):
    path = only_path(tmp_path, driver("580.65.06"))
    process = launch("gpu.sh", "--dry-run", "configs/digits.py", PATH=path, CUDA="cuda12", VENV=str(tmp_path / "venv"))
    assert ".[cuda12]" in process.stdout and process.stderr == ""
    process = launch("gpu.sh", "--dry-run", "configs/digits.py", PATH=path, CUDA="12")
    assert process.returncode == 2 and process.stderr == "error: CUDA is cuda12 or cuda13, not 12\n"


def test_gpu_keeps_the_cuda_of_an_environment(tmp_path):
    (tmp_path / "venv/lib/python3.11/site-packages/jax_cuda12_plugin").mkdir(parents=True)
    path = only_path(tmp_path, driver("580.65.06"))
    process = launch("gpu.sh", "--dry-run", "configs/digits.py", PATH=path, VENV=str(tmp_path / "venv"))
    assert ".[cuda12]" in process.stdout


@pytest.mark.parametrize("spot", ["", "1"])
def test_tpu_create(spot):
    process = launch("tpu.sh", "--dry-run", "create", **TPU, SPOT=spot)
    assert process.stdout.strip() == (
        "gcloud compute tpus tpu-vm create node --zone=us-central2-b --accelerator-type=v4-32 "
        "--version=tpu-ubuntu2204-base" + (" --spot" if spot else "")
    )


def test_tpu_setup_copies_and_installs_on_all_workers():
    archive, copy, install = launch("tpu.sh", "--dry-run", "setup", **TPU).stdout.splitlines()
    assert archive.startswith("git archive") and copy.endswith("node:jaxstage.tar.gz --zone=us-central2-b --worker=all")
    assert install.startswith(SSH) and install.endswith("pip install --quiet --editable '.[tpu]'")


def test_tpu_run_is_the_same_command_on_all_workers():
    process = launch(
        "tpu.sh",
        "--dry-run",
        "run",
        "configs/imagenet2012.py:basic",
        "--config.model.depths=(1, 2)",
        **TPU,
        TFDS_DATA_DIR="/mnt/my data",
    )
    assert process.stdout.strip() == SSH + (
        "cd jaxstage && TFDS_DATA_DIR=/mnt/my\\ data .venv/bin/python -m jaxstage.main "
        "--config=configs/imagenet2012.py:basic --workdir=/mnt/runs/one --coordinator=auto "
        "--config.model.depths=\\(1\\,\\ 2\\)"
    )


def test_tpu_fetch_and_delete(tmp_path):
    fetch = launch("tpu.sh", "--dry-run", "fetch", str(tmp_path / "results"), **TPU)
    assert fetch.stdout.splitlines()[-1].startswith("gcloud compute tpus tpu-vm scp --recurse node:/mnt/runs/one")
    assert not (tmp_path / "results").exists()
    assert "tpu-vm delete node" in launch("tpu.sh", "--dry-run", "delete", **TPU).stdout


def test_tpu_names_what_is_not_set():
    process = launch("tpu.sh", "--dry-run", "run", "configs/digits.py", **{**TPU, "WORKDIR": ""})
    assert process.returncode == 2 and process.stderr == "error: WORKDIR is not set: see the top of launch/tpu.sh\n"


def test_slurm_prints_a_job_that_is_a_valid_script(tmp_path):
    process = launch("slurm.sh", "--dry-run", "4", "configs/imagenet2012.py", "--config.model.depths=(1, 2)", GPUS="2")
    job = process.stdout
    for line in ("#SBATCH --nodes=4", "#SBATCH --gpus-per-node=2", "#SBATCH --signal=TERM@120", "#SBATCH --requeue"):
        assert line in job.splitlines()
    command = ".venv/bin/python -m jaxstage.main --config=configs/imagenet2012.py --config.model.depths=\\(1\\,\\ 2\\)"
    assert command in job
    assert subprocess.run(["bash", "-n"], input=job, text=True).returncode == 0


@pytest.mark.parametrize(
    "script, arguments",
    [
        ("gpu.sh", []),
        ("gpu.sh", ["--dry-run"]),
        ("gpu.sh", ["--config=x"]),
        ("tpu.sh", []),
        ("tpu.sh", ["dance"]),
        ("slurm.sh", []),
        ("slurm.sh", ["4"]),
        ("slurm.sh", ["many", "configs/digits.py"]),
    ],
)
def test_without_what_it_needs_it_says_how_to_use_it(script, arguments):
    process = launch(script, *arguments)
    assert process.returncode == 2 and process.stderr.startswith("usage:")


def test_shellcheck_finds_nothing():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    scripts = sorted((REPOSITORY / "launch").glob("*.sh"))
    process = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout
