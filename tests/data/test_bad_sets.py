"""Pictures, folders of them and prepared sets that are damaged or odd: a result, or one line that says what is wrong."""

import io
import json
import os
import shutil
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from conftest import write_set
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxstage import config as configs
from jaxstage.data import dataset, load_test, load_train
from jaxstage.data.decode import Broken, decode
from jaxstage.data.pictures import fitting_box
from jaxstage.data.prepare import prepare_folder
from jaxstage.data.sources import Source, from_arrays, open_source
from jaxstage.errors import UserError

RANDOM = np.random.default_rng(0)


def photograph(number: int = 0) -> PIL.Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
    return PIL.Image.fromarray(pixels)


def compressed(image: PIL.Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that says that it is so large."""
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


JPEG, PNG = compressed(photograph(), "JPEG"), compressed(photograph(), "PNG")
PALETTE = photograph().convert("P")
ODD = {
    "cmyk.jpg": compressed(photograph().convert("CMYK"), "JPEG"),
    "palette.png": compressed(PALETTE, "PNG", transparency=0),
    "16bit.png": compressed(PIL.Image.fromarray(RANDOM.integers(0, 2**16, (20, 20)).astype(np.uint16)), "PNG"),
    "bits.png": compressed(photograph().convert("1"), "PNG"),
    "one.png": compressed(photograph().resize((1, 1)), "PNG"),
    "thin.jpg": compressed(photograph().resize((1, 500)), "JPEG"),
    "moving.png": compressed(PALETTE, "GIF", save_all=True, append_images=[PALETTE]),
}
BROKEN = {
    "empty.jpg": b"",
    "cut.png": PNG[:200],
    "cut.jpg": JPEG[:-200],
    "head.jpg": JPEG[:20],
    "page.png": b"<html>not found</html>",
    "bomb.png": png_of_size(100_000, 100_000),
    "largest.png": png_of_size(2**31 - 1, 2**31 - 1),
    "nothing.png": png_of_size(0, 0),
    "icon.png": compressed(photograph(), "ICO"),
    "program.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n",
}


def decoded(data: bytes) -> np.ndarray:
    return decode(data, (16, 16), 3, lambda width, height: fitting_box(width, height, (16, 16)))


def test_odd_pictures_are_decoded_and_broken_ones_told():
    for data in ODD.values():
        assert decoded(data).shape == (16, 16, 3)
    for data in BROKEN.values():
        with pytest.raises(Broken):
            decoded(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([JPEG, PNG, *ODD.values()]),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6),
    st.integers(0, 2**16),
)
def test_damaged_pictures_are_decoded_or_told(data, changes, end):
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[place % len(data)] = byte
    try:
        assert decoded(bytes(damaged[: max(end, 1)])).shape == (16, 16, 3)
    except Broken:
        pass


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of two classes with other files in it, by name: bytes, None for a folder, or what makes it."""

    def make(others: dict):
        files = {
            f"train/{label}/{number}.jpg": compressed(photograph(number), "JPEG")
            for label in "ab"
            for number in range(9)
        }
        for name, content in (files | others).items():
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()
            elif callable(content):
                content(path)
            else:
                path.write_bytes(content)
        return tmp_path / "images"

    return make


def test_a_folder_of_everything_becomes_a_set_without_what_is_broken(folder, tmp_path, capsys):
    odd = {f"train/ä ö/{name}": data for name, data in ODD.items()}
    broken = {f"train/a/{name}": data for name, data in BROKEN.items()}
    places = {
        "train/empty": None,
        "train/a/folder.jpg": None,
        "train/a/pipe.jpg": os.mkfifo,
        "train/a/loop.jpg": lambda path: path.symlink_to(path),
        "train/a/up": lambda path: path.symlink_to(path.parent),
        "train/a/gone.jpg": lambda path: path.symlink_to("nowhere"),
        "train/b/\"quoted' $x.jpg": JPEG,
        "val": b"",
    }
    found = prepare_folder("mine", folder(odd | broken | places), str(tmp_path / "sets"))
    small, others = 2, {"train/empty", "train/a/pipe.jpg", "train/a/loop.jpg", "train/a/up", "train/a/gone.jpg", "val"}
    assert found["splits"] == {"train": 18 + len(ODD) - small + 1}
    assert found["left_out"] == len(BROKEN) + small + len(others)
    assert "left out, not a file: train/a/pipe.jpg" in capsys.readouterr().err
    config = configs.default().data
    config.name, config.dir, config.image_size, config.validation = "mine", str(tmp_path / "sets"), 8, 0.2
    dataset = load_train(config, 0)
    assert dataset.class_names == ("a", "b", "ä ö") and load_test(config).size == 5


@pytest.mark.parametrize(
    "others, text",
    [
        ({"train/a/x\ny.jpg": JPEG}, r"'train/a/x\\ny.jpg' in .*: rename it"),
        ({"train/x\ny/1.jpg": JPEG}, r"'train/x\\ny/1.jpg' in .*: rename it"),
        ({"train/ x/1.jpg": JPEG}, "a class begins or ends with a blank"),
        ({f"train/a/{os.fsdecode(bytes([0xE9]))}.jpg": JPEG}, r"'train/a/\\udce9.jpg' in .*: rename it"),
        ({"test/a/1.jpg": b"", "test/b/1.jpg": b""}, r"none of the 2 images for test in .* \(test/a/1.jpg: no data\)"),
    ],
)
def test_a_folder_that_cannot_become_a_set(others, text, folder, tmp_path):
    for _ in range(2):  # what the first try leaves is in nobody's way
        with pytest.raises(UserError, match=text):
            prepare_folder("mine", folder(others), str(tmp_path / "sets"))
        shutil.rmtree(tmp_path / "images")
    assert prepare_folder("mine", folder({}), str(tmp_path / "sets"))["splits"] == {"train": 18}


def test_a_place_that_cannot_have_a_set(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"'mine' cannot be prepared in .*/file \(.*Not a directory"):
        prepare_folder("mine", folder({}), str(tmp_path / "file"))


def write(name: str, content: bytes | str):
    return lambda version: (version / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def without(name: str):
    return lambda version: (version / name).unlink()


def changed(change):
    """Changes dataset_info.json."""

    def act(version):
        told = json.loads((version / "dataset_info.json").read_text())
        change(told)
        (version / "dataset_info.json").write_text(json.dumps(told))

    return act


def becomes_a_file(version):
    shutil.rmtree(version.parent)
    version.parent.touch()


INFO, FEATURES, LEFT_OUT = "dataset_info.json", "features.json", "left_out.json"
TRAIN, TEST = "toy-train.array_record-00000-of-00001", "toy-test.array_record-00000-of-00001"
DAMAGED = "'toy' in .* is damaged .*: set that folder aside and prepare or copy it again"
DAMAGE = {
    "no description": (without(INFO), DAMAGED),
    "an empty description": (write(INFO, ""), DAMAGED),
    "half a description": (write(INFO, '{"name": "toy", "vers'), DAMAGED),
    "a description in bytes": (write(INFO, b"\xff\xfe"), DAMAGED),
    "a description of nothing": (write(INFO, "null"), DAMAGED),
    "no features": (without(FEATURES), DAMAGED),
    "features of nothing": (write(FEATURES, "{}"), DAMAGED),
    "features that are a number": (write(FEATURES, "3"), DAMAGED),
    "no such format": (changed(lambda told: told.update(fileFormat="nonsense")), DAMAGED),
    "another format": (changed(lambda told: told.update(fileFormat="tfrecord")), "stored as tfrecord, which needs Ten"),
    "no splits": (changed(lambda told: told.pop("splits")), "has no split 'train', only : choose another set"),
    "another split": (changed(lambda told: told["splits"][0].update(name="trian")), "no split 'train', only trian, te"),
    "too few": (changed(lambda told: told["splits"][0].update(shardLengths=["-5"])), "toy/train has -5 examples"),
    "too many": (
        changed(lambda told: told["splits"][0].update(shardLengths=["500"])),
        "toy/train: an image of 0..499 can",
    ),
    "another length": (changed(lambda told: told["splits"][0].update(shardLengths=["many"])), DAMAGED),
    "two files": (
        changed(lambda told: told["splits"][0].update(shardLengths=["45", "45"])),
        "00002 is missing or empty",
    ),
    "no training images": (without(TRAIN), f"the file .*{TRAIN} is missing or empty: prepare or copy the set again"),
    "no test images": (without(TEST), f"the file .*{TEST} is missing or empty"),
    "nothing of the test images": (write(TEST, b""), f"the file .*{TEST} is missing or empty"),
    "other training images": (write(TRAIN, b"junk" * 9999), r"toy/train: an image of 0..89 cannot be read \("),
    "other test images": (write(TEST, b"junk" * 9999), r"toy/test: an image of 0..29 cannot be read \("),
    "half of the features": (
        write(FEATURES, '{"featuresDict'),
        "features.json is damaged .*prepare or copy the set again",
    ),
    "features of somebody's own": (
        write(FEATURES, '{"featuresDict": {"features": {"image": {"pythonClassName": "this.Image"}}}}'),
        "features.json names 'this.Image', which is no feature of TFDS",
    ),
    "features of somebody's own, as they were": (write(FEATURES, '{"type": "this.Image"}'), "names 'this.Image'"),
    "too few names": (write("label.labels.txt", "red\ngreen\n"), "label 2 of example .* none of the 2 classes"),
    "one name": (write("label.labels.txt", "red\n"), r"toy has only the classes \('red',\)"),
    "images left out, in no JSON": (write(LEFT_OUT, "junk"), "left_out.json is damaged .*: rename it"),
    "images left out, in a list": (write(LEFT_OUT, "[]"), "left_out.json is damaged .*: rename it"),
    "a file for the set": (becomes_a_file, DAMAGED),
    "no set": (lambda version: shutil.rmtree(version.parent), "'toy' is not in .*: prepare it with"),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("data", [{}, {"examples": 60}])
def test_a_damaged_set_is_told_before_anything_is_trained(name, data, toy_tfds, tmp_path):
    damage, text = DAMAGE[name]
    shutil.copytree(toy_tfds, tmp_path / "sets")
    damage(tmp_path / "sets" / "toy" / "1.0.0")
    config = configs.default().data
    config.update({"name": "toy", "dir": str(tmp_path / "sets"), "validation": 0.2, **data})
    with pytest.raises(UserError, match=text) as error:
        load_train(config, 0)
    assert "\n" not in str(error.value)


TEST_LABELS = {
    "too large": ([0, 1, 2], "label 2 of example 2, and 0 more, stand for none of the 2 classes"),
    "kept back": ([-1, -1, -1], "label -1 of example 0"),
    "too few": ([0, 1], "3 images and 2 labels"),
    "names": (["a", "b", "a"], "give whole numbers from 0 on"),
}


def own_set(labels, shape=(8, 8, 3), image_shape=(8, 8, 3)) -> Source:
    """As somebody builds it by hand: nothing has looked at it."""
    images = {
        "train": np.arange(20 * 192, dtype=np.uint8).reshape(20, 8, 8, 3),
        "test": np.zeros((3, *shape), np.uint8),
    }
    labels = {"train": np.arange(20, dtype=np.int32) % 2, "test": labels}
    chosen = lambda values, indices: values if indices is None else [values[int(i)] for i in indices]
    read = lambda split, indices=None: (
        np.stack(chosen(images[split], indices)),
        np.array(chosen(labels[split], indices), np.int32),
    )
    records = lambda split: [(image, label, "") for image, label in zip(images[split], labels[split])]
    splits = {"train": 20, "test": 3}
    return Source(("a", "b"), image_shape, splits, "test", read, labels.__getitem__, records)


@pytest.mark.parametrize(
    "how, way",
    [(how, "resident") for how in TEST_LABELS] + [(how, "streaming") for how in ("too large", "kept back", "names")],
)  # of a stream, each record has its label
def test_what_is_wrong_with_the_test_is_told_before_anything_is_trained(how, way, monkeypatch):
    labels, text = TEST_LABELS[how]
    monkeypatch.setattr(dataset, "open_source", lambda *_: own_set(labels))
    config = configs.default().data
    config.update({"name": "my:own", "validation": 0.2, "input": way, "image_size": 8})
    with pytest.raises(UserError, match=f"my:own/test: .*{text}"):
        load_train(config, 0)


def test_test_images_of_another_shape_are_told_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(dataset, "open_source", lambda *_: own_set([0, 1, 0], shape=(4, 4, 3)))
    config = configs.default().data
    config.update({"name": "my:own", "validation": 0.2})
    with pytest.raises(UserError, match=r"my:own: the images of the splits differ in shape .*test [(]4, 4, 3[)]"):
        load_train(config, 0)


def test_of_two_splits_to_test_on_one_without_labels_is_none(tmp_path):
    """ImageNet's test split has -1 for all of them; people test on its validation split."""
    image = compressed(photograph().resize((4, 4)), "PNG")
    labels = {"train": (0, 1), "validation": (0, 1), "test": (-1, -1)}
    splits = {split: [(image, label) for label in of_split] for split, of_split in labels.items()}
    write_set(tmp_path, "kept", splits, ["a", "b"], (4, 4, 3))
    assert open_source("kept", str(tmp_path)).test_name == "validation"


ARRAYS = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.lists(st.one_of(st.integers(-2, 3), st.floats(), st.text(max_size=1), st.none()), max_size=5),
    st.builds(
        lambda shape, dtype: np.zeros(shape).astype(dtype),
        st.lists(st.integers(0, 3), max_size=5).map(tuple),
        st.sampled_from([np.uint8, np.int64, np.float32, np.bool_, np.complex64, "U1", object, "M8[s]"]),
    ),
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(ARRAYS, st.tuples(ARRAYS, ARRAYS)), st.one_of(st.none(), ARRAYS, st.tuples(ARRAYS, ARRAYS)))
def test_any_arrays_are_a_set_or_told(train, test):
    try:
        source = from_arrays("ab", train, test)
    except UserError as error:
        assert "\n" not in str(error)
        return
    images, labels = source.read("train")
    assert images.dtype == np.uint8 and images.ndim == 4 and labels.dtype == np.int32 and len(images) == len(labels) > 0
