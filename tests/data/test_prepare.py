"""Preparing a folder of images, and what is said when a set cannot be had."""

import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from conftest import REPOSITORY, result_of

from jaxstage import config as configs
from jaxstage.data import Stream, load_test, load_train
from jaxstage.data.prepare import find_images, prepare_folder
from jaxstage.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Photographs of several sizes in two classes, one truncated and one that is no image."""
    random = np.random.default_rng(0)
    for split, count in {"train": 12, "val": 4}.items():
        for label, level in {"bright": 200, "dark": 20}.items():
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for number in range(count):
                size = (120 + number, 130, 3)
                image = PIL.Image.fromarray((level + random.integers(0, 30, size)).astype(np.uint8))
                image.save(tmp_path / "images" / split / label / f"{number}.jpg")
    train = tmp_path / "images" / "train"
    (train / "dark" / "0.jpg").write_bytes((train / "dark" / "0.jpg").read_bytes()[:-500])
    (train / "bright" / "0.jpg").write_text("<html>not found</html>")
    return tmp_path / "images"


def test_a_folder_becomes_a_set(folder, tmp_path):
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "jaxstage.data.prepare",
            "mine",
            f"--folder={folder}",
            f"--data-dir={tmp_path / 'tfds'}",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.strip().splitlines()[-1])
    assert result["splits"] == {"train": 22, "validation": 8} and result["left_out"] == 2
    assert "train/dark/0.jpg is left out: truncated" in process.stderr
    assert "train/bright/0.jpg is left out: not decodable" in process.stderr
    config = configs.default().data
    config.name, config.dir, config.image_size = "mine", str(tmp_path / "tfds"), 16
    dataset, test = load_train(config, seed=0), load_test(config)
    assert dataset.class_names == ("bright", "dark") and isinstance(dataset.train, Stream) and test.size == 8
    images, labels = test.read(report=lambda *_: None)
    assert np.array_equal(images.mean((1, 2, 3)) < 100, labels == 1)


def test_own_pictures_one_of_them_broken_are_searched_and_the_report_names_it(program, tiny_search, tmp_path):
    random = np.random.default_rng(0)
    for place, label in enumerate(("cat", "dog", "owl")):
        (tmp_path / "own" / "train" / label).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 100, (30 + number, 45 - number, 3), np.uint8)
            pixels[..., place] += 100
            suffix = "png" if number % 2 else "jpg"
            PIL.Image.fromarray(pixels).save(tmp_path / "own" / "train" / label / f"{number}.{suffix}")
    (tmp_path / "own" / "train" / "dog" / "7.png").write_bytes(b"\x89PNG and no more")
    assert prepare_folder("own", tmp_path / "own", str(tmp_path / "tfds"))["left_out"] == 1
    run = tmp_path / "run"
    process = program(
        *tiny_search,
        "--config.data.name=own",
        f"--config.data.dir={tmp_path / 'tfds'}",
        "--config.data.image_size=8",
        "--config.data.workers=0",
        "--config.batch_size=16",
        "--config.importance.examples=16",
        "--config.growth.max_rounds=1",
        "--config.final.epochs=2",
        f"--workdir={run}",
    )
    result = result_of(process)
    assert result["models_trained"] >= 3 and 0 <= result["test_accuracy"] <= 1
    assert "<td>own/train</td><td>not decodable</td>" in (run / "report.html").read_text().split("train/dog/7.png")[1]


def test_mistakes_are_told(folder, tmp_path):
    with pytest.raises(UserError, match="no images in train/CLASS/"):
        find_images(tmp_path)
    with pytest.raises(UserError, match="'My Set' is no name"):
        prepare_folder("My Set", folder, str(tmp_path / "tfds"))
    (tmp_path / "tfds" / "mine" / "1.0.0").mkdir(parents=True)
    with pytest.raises(UserError, match="has a set 'mine' already"):
        prepare_folder("mine", folder, str(tmp_path / "tfds"))


def test_an_unknown_set_is_one_line(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "jaxstage.data.prepare", "no_such_set", f"--data-dir={tmp_path}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1].startswith("error: TensorFlow Datasets has no set 'no_such_set'")
