"""Preparing a folder of images, and what is said when a set cannot be had."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from conftest import REPOSITORY

from jaxstage import config as configs
from jaxstage.comparison.run import Asked, compare
from jaxstage.data import Stream, load_test, load_train
from jaxstage.data.prepare import prepare_folder
from jaxstage.data.prepare.once import prepared
from jaxstage.data.sources import open_source
from jaxstage.errors import UserError
from jaxstage.run import measure_latency

CLASSES = ("Gänse blümchen", "rose", "tulip")
SUFFIXES = ("jpg", "JPEG", "png", "webp", "bmp", "gif", "tif", "tiff", "jp2", "ppm")


def photo(place: int, number: int) -> PIL.Image.Image:
    """A picture that is told from others by its large shapes, and its class by its colour."""
    random = np.random.default_rng((place, number))
    coarse = random.integers(0, 120, (6, 6, 3), np.uint8)
    coarse[..., place % 3] += 130
    return PIL.Image.fromarray(coarse).resize((40 + number, 60), PIL.Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes in all formats, one of two pictures on its side, with everything that has to be left out."""
    folder = tmp_path_factory.mktemp("my photos")
    for place, label in enumerate(CLASSES):
        (folder / label / "more").mkdir(parents=True)
        for number in range(20):
            suffix, exif = SUFFIXES[number % len(SUFFIXES)], PIL.Image.Exif()
            image = photo(place, number)
            if suffix in ("jpg", "webp"):
                exif[0x0112], image = 6, image.transpose(PIL.Image.Transpose.ROTATE_90)
            image.save(folder / label / ("more" if number % 2 else "") / f"{number}.{suffix}", exif=exif)
    (folder / "rose" / "phone.HEIC").write_bytes(b"ftypheic")
    (folder / "rose" / "notes.txt").write_text("roses")
    (folder / "rose" / ".hidden.jpg").write_bytes(b"")
    (folder / "rose" / ".checkpoints").mkdir()
    shutil.copy(folder / "rose" / "0.jpg", folder / "rose" / ".checkpoints" / "0.jpg")
    (folder / "rose" / "link").symlink_to(folder / "tulip")
    (folder / "tulip" / "Thumbs.db").write_bytes(b"")
    (folder / "tulip" / "broken.png").write_bytes(b"\x89PNG and no more")
    (folder / "tulip" / "cut.jpg").write_bytes((folder / "tulip" / "0.jpg").read_bytes()[:-300])
    PIL.Image.new("RGB", (1, 1)).save(folder / "tulip" / "one.png")
    (folder / "empty").mkdir()
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._0.jpg").write_bytes(b"")
    (folder / "readme.md").write_text("mine")
    return folder


LEFT_OUT = {
    ".heic cannot be read, convert it to JPEG or PNG": "rose/phone.HEIC",
    "not a picture by its name (.txt)": "rose/notes.txt",
    "not a picture by its name (.db)": "tulip/Thumbs.db",
    "a link to a folder, which is not followed": "rose/link",
    "not decodable": "tulip/broken.png",
    "truncated": "tulip/cut.jpg",
    "fewer than 4 pixels wide or high": "tulip/one.png",
    "in no class folder": "readme.md",
}


def test_own_photos_of_every_kind_become_a_set_and_nothing_vanishes_without_a_word(photos, tmp_path, capsys):
    found = prepare_folder("mine", photos, str(tmp_path))
    assert found["splits"] == {"train": 60} and found["pictures"] == 60
    shown = capsys.readouterr().err
    for why, path in LEFT_OUT.items():
        assert f"left out, {why}: {path}" in shown and found["why_left_out"][why] == 1
    assert "left out, a folder without pictures: __MACOSX, empty" in shown
    assert "left out, hidden: __MACOSX/._0.jpg, rose/.checkpoints, rose/.hidden.jpg" in shown
    assert found["left_out"] == sum(found["why_left_out"].values()) == len(LEFT_OUT) + 2 + 3
    rows = [line.split() for line in shown.splitlines()]
    for row in (["Gänse", "blümchen", "20", "0"], ["rose", "20", "5"], ["tulip", "20", "4"], ["(no", "class)", "3"]):
        assert row in rows
    source = open_source("mine", str(tmp_path))
    assert source.class_names == CLASSES
    assert {one["image"] for one in source.left_out} == {
        *("rose/phone.HEIC", "tulip/broken.png", "tulip/cut.jpg", "tulip/one.png")
    }
    config = configs.default().data
    config.update({"name": "mine", "dir": str(tmp_path), "image_size": 16, "validation": 0.2})
    images, labels = load_train(config, 0).train.read(report=lambda *_: None)
    assert np.array_equal(images.mean((1, 2)).argmax(-1), labels)
    sizes = {PIL.Image.open(io.BytesIO(source.records("train")[place][0])).size for place in range(60)}
    assert (60, 40) in sizes and source.image_shape == (None, None, 3)  # as files they keep the side that they lie on


def test_pictures_on_their_side_are_of_the_size_that_they_have_upright_also_in_memory(tmp_path):
    for place, label in enumerate("ab"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(4):
            image, exif = photo(place, 20), PIL.Image.Exif()  # 60 x 60
            pixels = np.asarray(image) // 2
            pixels[:30] += 100  # the sky
            image = PIL.Image.fromarray(pixels)
            if number % 2:
                exif[0x0112], image = 6, image.transpose(PIL.Image.Transpose.ROTATE_90)
            image.save(tmp_path / "images" / label / f"{number}.png", exif=exif)
    prepare_folder("mine", tmp_path / "images", str(tmp_path))
    source = open_source("mine", str(tmp_path))
    images, _ = source.read("train")
    assert source.image_shape == (60, 60, 3) and images.dtype == np.uint8
    assert (images[:, :30].mean((1, 2, 3)) > images[:, 30:].mean((1, 2, 3)) + 50).all()


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def repeated(tmp_path):
    """Two classes with test pictures, and three kinds of repetition."""
    folder = tmp_path / "images"
    for split, numbers in {"train": range(12), "test": range(12, 18)}.items():
        for place, label in enumerate("ab"):
            for number in numbers:
                save(photo(place, number), folder / split / label / f"{number}.png")
    shutil.copy(folder / "train/a/0.png", folder / "train/a/again.png")
    shutil.copy(folder / "train/a/1.png", folder / "train/b/one too.png")
    shutil.copy(folder / "train/b/2.png", folder / "test/b/known.png")
    save(photo(0, 3).resize((33, 44)), folder / "test/a/smaller.jpg")
    return folder


def test_what_is_there_twice_is_counted_and_told(repeated, tmp_path, capsys):
    found = prepare_folder("mine", repeated, str(tmp_path))
    wanted = {"same_class": 1, "other_class": 1, "train_and_test": 1, "near_train_and_test": 1}
    assert found["repeated"] == wanted and found["splits"] == {"train": 26, "test": 14}
    shown = capsys.readouterr().err
    assert "twice in one class, byte for byte: 1, as train/a/0.png and train/a/again.png" in shown
    assert "in two classes, byte for byte, so one label is wrong: 1, as train/a/1.png and train/b/one too.png" in shown
    assert "so the test will look too good: 1, as train/b/2.png and test/b/known.png" in shown
    assert (
        "nearly like one for training, so look whether the test is one: 1, as train/a/3.png and test/a/smaller.jpg"
        in shown
    )


def test_without_test_pictures_those_that_look_alike_are_told(repeated, tmp_path, capsys):
    shutil.rmtree(repeated / "test")
    save(photo(1, 5).resize((80, 120)), repeated / "train" / "b" / "larger.jpg")
    for place in (0, 1):  # plain areas are alike, which says nothing
        save(PIL.Image.new("RGB", (20, 20), (90, place, 0)), repeated / "train" / "a" / f"plain {place}.png")
    found = prepare_folder("mine", repeated, str(tmp_path))
    assert found["repeated"] == {"same_class": 1, "other_class": 1, "train_and_test": 0, "near_train": 2}
    shown = capsys.readouterr().err
    assert "nearly like another one, which may come into the test" in shown and "plain" not in shown
    assert "a fifth of those for training is set aside" in shown


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
    assert result["splits"] == {"train": 22, "validation": 8} and result["left_out"] == 2 and result["pictures"] == 30
    assert "left out, truncated: train/dark/0.jpg" in process.stderr
    assert "left out, not decodable: train/bright/0.jpg" in process.stderr
    assert "without test pictures those for validation are the test" in process.stderr
    config = configs.default().data
    config.name, config.dir, config.image_size = "mine", str(tmp_path / "tfds"), 16
    dataset, test = load_train(config, seed=0), load_test(config)
    assert dataset.class_names == ("bright", "dark") and isinstance(dataset.train, Stream) and test.size == 8
    images, labels = test.read(report=lambda *_: None)
    assert np.array_equal(images.mean((1, 2, 3)) < 100, labels == 1)


MISTAKES = {
    r"has no images in CLASS/ or train/CLASS/": ["a/readme.txt", "test/a/0.jpg"],
    r"splits \(train\) and other folders with pictures \(a, b\)": ["train/a/0.jpg", "a/0.jpg", "b/0.jpg"],
    r"has pictures in no class folder \(0.jpg and 1 more\): move them to .*/images/CLASS/": [
        "0.jpg",
        "1.gif",
        "a/0.jpg",
    ],
    r"in no class folder \(0.jpg\): move them to .*/train/CLASS/": ["train/0.jpg", "train/a/0.jpg"],
    r"'rose' of .* to train on that can be used \(rose/0.heic: .heic cannot": ["rose/0.heic", "a/0.jpg", "b/0.jpg"],
    r"'rose' of .* to train on that can be used: add": ["train/a/0.jpg", "train/b/0.jpg", "val/rose/0.jpg"],
    r"has only one class, 'a': give a folder that has a folder for each class, as .*/images/a": [
        "a/b/0.jpg",
        "a/c/0.jpg",
    ],
}


@pytest.mark.parametrize("text", MISTAKES)
def test_folders_that_are_no_set_are_told(text, tmp_path):
    for number, path in enumerate(MISTAKES[text]):
        (tmp_path / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith((".jpg", ".gif")):
            photo(0, number).save(tmp_path / "images" / path)
        else:
            (tmp_path / "images" / path).touch()
    with pytest.raises(UserError, match=text):
        prepare_folder("mine", tmp_path / "images", str(tmp_path / "tfds"))
    assert not (tmp_path / "tfds").exists()


def test_mistakes_are_told(folder, tmp_path):
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


def test_a_folder_in_a_config_is_prepared_once_and_anew_when_it_changes(folder, tmp_path, capsys):
    config = configs.default()
    config.data.folder, config.data.dir = str(folder), str(tmp_path / "sets")
    first = prepared(config).data.name
    assert open_source(first, config.data.dir).splits and "prepared before" not in capsys.readouterr().err
    assert prepared(config).data.name == first and f"prepared before as {first}" in capsys.readouterr().err
    some = folder / "train" / "dark" / "3.jpg"
    shutil.copy(some, some.with_name("another.jpg"))
    other = prepared(config).data.name
    assert other != first and {first, other} <= {path.name for path in (tmp_path / "sets").iterdir()}
    assert config.data.name == "digits"


def test_a_folder_in_a_config_that_is_none_is_one_line(tmp_path):
    config = configs.default()
    config.data.folder, config.data.dir = str(tmp_path / "nowhere"), str(tmp_path)
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        prepared(config)


def test_a_prepared_set_that_is_streamed_is_cut_with_all_classes_in_proportion(tmp_path):
    for place, (label, count) in enumerate({"common": 40, "rare": 10, "single": 1}.items()):
        for number in range(count):
            save(photo(place, number), tmp_path / "images" / label / f"{number}.png")
    prepare_folder("mine", tmp_path / "images", str(tmp_path))
    config = configs.default().data
    config.update({"name": "mine", "dir": str(tmp_path), "image_size": 8})
    for seed in range(3):
        dataset, test = load_train(config, seed), load_test(config)
        parts = (test, dataset.validation, dataset.train)
        assert [np.bincount(part.labels, minlength=3).tolist() for part in parts] == [[9, 2, 0], [3, 1, 0], [28, 7, 1]]
        for part in parts:
            assert np.array_equal(part.read(report=lambda *_: None)[1], part.labels)
    (file,) = tmp_path.glob("mine/*/labels.json")
    file.write_text('{"train": [0, 1]}')
    with pytest.raises(UserError, match="labels.json is of another set: move it away and run the same command again"):
        load_train(config, 0)
    for damaged in ('["a"]', "[3]", "7"):
        file.write_text(f'{{"train": {damaged}}}')
        with pytest.raises(UserError, match="labels.json is damaged .*: move it away and run"):
            load_train(config, 0)
    file.unlink()
    assert np.array_equal(
        load_train(config, 2).validation.indices, parts[1].indices
    )  # by the records, which takes longer
    info = file.parent / "dataset_info.json"  # as older versions prepared sets: cut as they did
    info.write_text(info.read_text().replace("labels.json has", "not here is"))
    test = load_test(config)
    assert test.labels is None and np.array_equal(test.indices, np.sort(np.random.default_rng(0).permutation(51)[:11]))


def test_other_commands_that_look_at_data_take_the_folder_in_a_config_too(folder, tmp_path):
    changes = {"data.folder": str(folder), "data.dir": str(tmp_path / "sets"), "data.image_size": 8, "data.workers": 0}
    changes |= {"model.depths": (1, 1), "model.widths": (4, 4), "evaluate.latency_runs": 1}
    config = configs.load("digits", changes)
    assert measure_latency(config, str(tmp_path / "latency.json"))["image_shape"] == (8, 8, 3)
    overrides = [f"--config.{key}={str(value).replace(' ', '')}" for key, value in changes.items()]
    asked = Asked("digits", overrides, "search,uniform", 1, None, str(tmp_path / "compared"))
    assert {one["task"] for one in compare(config, asked, dry_run=True)["runs"]} == {"search", "train"}
    assert len(list((tmp_path / "sets").iterdir())) == 1
