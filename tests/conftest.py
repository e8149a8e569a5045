"""Shared by all tests: eight virtual CPU devices, a small network, a small TFDS set, and the program as a process."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
from functools import partial
from unittest import mock

import numpy as np
import PIL.Image
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"


def virtual_devices(count: int) -> dict[str, str]:
    """Environment variables that give a process so many CPU devices.

    Programs of several devices that follow each other share one pool of threads, by default one a device, and wait in
    it: in jax 0.10.2 parts of two programs can fill it, so that the last part of the first never runs. After 40 seconds
    XLA ends the process. More threads than may wait at a time, NPROC, prevent it; jax 0.12 needs no help.
    """
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "NPROC": "32"}


# Programs that tests start get signals as in a terminal, also where the tests run in the background or under nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
with mock.patch.dict(os.environ, virtual_devices(8)):
    import jax

    jax.devices()  # from here on the variables may change: programs that tests start begin without them

# Deprecated things that jaxstage itself uses are errors, in the programs that tests start as in pytest (setup.cfg).
FILES = sorted(path.relative_to(REPOSITORY).with_suffix("") for path in REPOSITORY.glob("jaxstage/**/*.py"))
MODULES = ["__main__", *(".".join(path.parts).removesuffix(".__init__") for path in FILES)]
os.environ["PYTHONWARNINGS"] = ",".join(
    f"error::{category}:{module}" for category in ("DeprecationWarning", "FutureWarning") for module in MODULES
)


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory):
    """Shared by the processes that tests start, so that each network is compiled once."""
    return tmp_path_factory.mktemp("compiled")


def run_program(compilation_cache, *arguments, module=("-m", "jaxstage.main"), timeout=900, **environment):
    """Runs `python -m jaxstage.main` with arguments and waits for its end."""
    return subprocess.run(
        [sys.executable, *module, *arguments, f"--config.compilation_cache={compilation_cache}"],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.fixture
def program(compilation_cache):
    """Runs `python -m jaxstage.main` with arguments; returns the finished process."""
    return partial(run_program, compilation_cache)


@pytest.fixture(scope="session")
def tiny_search():
    """Flags of a search on the digits that takes seconds and grows, with probes and scores."""
    return [
        "--config=configs/digits.py",
        "--config.growth.rule=relative_rise",
        "--config.growth.step=1",
        "--config.model.widths=(4,8)",
        "--config.model.depths=(1,1)",
        "--config.batch_size=128",
        "--config.candidate.epochs=2",
        "--config.final.epochs=3",
        "--config.growth.max_rounds=2",
        "--config.growth.margin=0.0",
        "--config.importance.shares=2",
        "--config.importance.examples=128",
        "--config.checkpoint.every_steps=5",
    ]


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory) -> pathlib.Path:
    """The work directory of a finished run: a tiny network for the digits. Not to be changed: copy it."""
    from jaxstage import config, search

    settings = {
        "task": "train",
        "model.depths": (1, 1),
        "model.widths": (8, 16),
        "final.epochs": 8,
        "devices": 1,
        "compilation_cache": "",
    }
    return search(config.load("digits", settings), tmp_path_factory.mktemp("digits") / "run").workdir


@pytest.fixture(scope="session")
def toy_tfds(tmp_path_factory):
    """A directory with the TFDS set `toy`: 16x16 RGB, 3 classes, 90 training and 30 test images, no network needed."""
    return write_toy(tmp_path_factory.mktemp("tfds"))


def write_toy(directory: pathlib.Path, broken: dict[int, bytes] = {}) -> pathlib.Path:
    """Writes the set `toy` with other bytes in the place of some of its images, by their numbers."""
    random = np.random.default_rng(0)

    def examples(n):
        for index in range(n):
            image = random.integers(0, 100, (16, 16, 3), np.uint8)
            image[..., index % 3] += 100
            png = io.BytesIO()  # from an array TFDS would encode with TensorFlow
            PIL.Image.fromarray(image).save(png, "PNG")
            yield broken.get(index, png.getvalue()), index % 3

    splits = {"train": list(examples(90)), "test": list(examples(30))}
    write_set(directory, "toy", splits, ["red", "green", "blue"], (16, 16, 3))
    return directory


def write_set(directory: pathlib.Path, name: str, splits: dict[str, list], classes: list[str], shape: tuple) -> None:
    """Writes a TFDS set; splits, of each the compressed images with their labels."""
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Set(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(names=classes)}
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(examples) for split, examples in splits.items()}

            def _generate_examples(self, examples):
                for index, (image, label) in enumerate(examples):
                    yield index, {"image": io.BytesIO(image), "label": label}

    Set.name = name
    Set(data_dir=directory, file_format="array_record").download_and_prepare()


@pytest.fixture(scope="session")
def official() -> pathlib.Path:
    """The folder of the authors' networks and their figures."""
    folder = SHARED / "official"
    if not folder.exists():
        pytest.skip("../shared/official, the published networks, is not here")
    return folder


@pytest.fixture(scope="session")
def nas_bench_macro() -> pathlib.Path:
    """The folder of networks that others have trained at every depth."""
    folder = SHARED / "nas_bench_macro"
    if not folder.exists():
        pytest.skip("../shared/nas_bench_macro, the table of trained networks, is not here")
    return folder


@pytest.fixture(scope="session")
def cifar10_dir(tmp_path_factory) -> str:
    """A TFDS folder that has the JPEG copy of CIFAR-10."""
    stock = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if (stock / "cifar10").exists():
        return str(stock)
    prepare = SHARED / "data" / "prepare.py"
    if not prepare.exists():
        pytest.skip("neither CIFAR-10 nor ../shared/data to prepare it from is here")
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    subprocess.run([sys.executable, prepare, "--only", "cifar10", "--data-dir", folder], check=True)
    return str(folder)


def result_of(process) -> dict:
    """The JSON object on the last line of a run's standard output."""
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.strip().splitlines()[-1])
