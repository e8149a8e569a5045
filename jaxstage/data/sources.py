"""Reading data sets, whole splits or example by example: the bundled digits, and TensorFlow Datasets (without
TensorFlow)."""

import concurrent.futures
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxstage import plugins
from jaxstage.data import checks, skipped
from jaxstage.data import labels as beside
from jaxstage.data.decode import whole
from jaxstage.errors import UserError, brief, first_line
from jaxstage.files import local, parts, read_json

TRAIN = "train"
TEST_NAMES = ("test", "validation")  # in this order; many sets keep the labels of their test split to themselves
READ_AT_ONCE = 500
FEATURE_KEYS = ("pythonClassName", "python_class_name", "type")  # of a class that TFDS makes, the last one in old sets
NAME_KEYS = ("file_name", "id")  # features that tell people which image it is


class Source(NamedTuple):
    """A data set before anything is cut from it.

    Attributes:
      class_names: one name for each label.
      image_shape: (height, width, channels); None where images differ.
      splits: sizes of all splits, by name.
      test_name: name of the split kept for the test, or None if the set has only `train`.
      read: split name, indices or None for all -> (images uint8 (n, height, width, channels), labels int32 (n,)); for
        images of one size.
      labels: split name -> int32 (n,) of all its examples, without decoding an image.
      records: split name -> random access to (compressed image or pixels, label, name for people); picklable.
      left_out: the images that preparing the set left out, see `jaxstage.data.skipped`.
      known_labels: what `labels` gives, by split, where that reads no image, see `jaxstage.data.labels`.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    splits: dict[str, int]
    test_name: str | None
    read: Callable
    labels: Callable
    records: Callable
    left_out: tuple[dict, ...] = ()
    known_labels: Mapping[str, np.ndarray] = {}

    @property
    def bytes(self) -> int | None:
        """Size of all images in memory, or None where they differ in size."""
        if None in self.image_shape:
            return None
        return sum(self.splits.values()) * int(np.prod(self.image_shape))


@dataclass(frozen=True)
class ArrayRecords:
    """Records of a set that is in memory anyway."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.images[index], int(self.labels[index]), str(index)


@dataclass(frozen=True)
class TfdsRecords:
    """Records of a TFDS split, images as they were compressed."""

    source: Any
    image_key: str
    label_key: str
    name_key: str | None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int):
        example = self.source[index]
        name = example[self.name_key].decode() if self.name_key else str(index)
        return example[self.image_key], int(example[self.label_key]), name


def open_source(name: str, data_dir: str | None) -> Source:
    """Finds the data set called `name`; of a TFDS set it reads no images yet.

    Raises:
      UserError: it is not there, or its images do not fit this program.
    """
    if not plugins.is_own(name):
        return _digits() if name == "digits" else _tfds(name, data_dir)
    expected = "a Source, as jaxstage.data.sources.from_arrays makes"
    found = plugins.result(name, plugins.function(name, "a function that returns a Source"), Source, expected)
    if TRAIN not in found.splits:
        raise UserError(f"{name} has no split {TRAIN!r}, only {', '.join(found.splits)}")
    return found


def sets_dir(data_dir: str | None) -> str:
    """Where prepared sets lie: data_dir, by the config, or the usual place."""
    return str(local(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets", "config.data.dir"))


def is_jpeg(source: Source) -> bool:
    """Whether a data set keeps its images with the loss of JPEG, by the first one."""
    image, *_ = source.records(TRAIN)[0]
    return isinstance(image, bytes) and image.startswith(b"\xff\xd8")


def from_arrays(class_names: Sequence[str], train: tuple, test: tuple | None = None) -> Source:
    """A data set that is in memory: each split a pair of images uint8 (n, height, width, channels), labels (n,).

    Raises:
      UserError: they are anything else, or do not fit together.
    """
    given = {TRAIN: train} if test is None else {TRAIN: train, "test": test}
    for split, pair in given.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise UserError(f"from_arrays: {split} is a {type(pair).__name__}: give a pair, images and labels")
    splits = {split: checks.arrays("from_arrays", split, *pair, len(class_names)) for split, pair in given.items()}
    checks.same_shape("from_arrays", {split: images.shape[1:] for split, (images, _) in splits.items()})

    def read(split, indices=None):
        chosen = slice(None) if indices is None else indices
        return splits[split][0][chosen], splits[split][1][chosen]

    return Source(
        class_names=tuple(class_names),
        image_shape=splits[TRAIN][0].shape[1:],
        splits={name: len(labels) for name, (_, labels) in splits.items()},
        test_name=None if test is None else "test",
        read=read,
        labels=lambda split: splits[split][1],
        records=lambda split: ArrayRecords(*splits[split]),
    )


def _digits() -> Source:
    """The 1,797 handwritten 8x8 digits that scikit-learn ships (UCI optical recognition of handwritten digits)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)  # 17 grey levels to 0..255
    return from_arrays("0123456789", (images, labels))


def _builder(name: str, data_dir: str | None):
    """What TFDS knows of a set whose files are there, as array_record."""
    from tensorflow_datasets.core import read_only_builder

    root = sets_dir(data_dir)
    _require_features_of_tfds(pathlib.Path(root) / name)
    try:
        # From the files alone: the ordinary tfds.builder() would go to the network for a set that is not there.
        builder = read_only_builder.builder_from_files(name, data_dir=root)
    except Exception as error:  # TFDS's readers fail in many ways, and partly as if there was no set
        if os.path.exists(os.path.join(root, name)):
            raise UserError(
                f"data set {name!r} in {root} is damaged ({first_line(error)}): set that folder aside and prepare or copy "
                "it again"
            ) from error
        raise UserError(
            f"data set {name!r} is not in {root}: prepare it with  python -m jaxstage.data.prepare {name} "
            f"--data-dir={root}  or point config.data.dir at the folder that has it"
        ) from error
    if builder.info.file_format.value != "array_record":
        raise UserError(
            f"data set {name!r} in {root} is stored as {builder.info.file_format.value}, which needs TensorFlow: "
            "rewrite it once with  tfds convert_format --root_data_dir=... --out_file_format=array_record"
        )
    return builder


def _require_features_of_tfds(folder: pathlib.Path) -> None:
    """Raises UserError where a prepared set names code that is not TFDS's: TFDS would import it."""
    for path in folder.rglob("features.json"):
        level = [read_json(path, remedy="prepare or copy the set again")]
        while level:
            one = level.pop()
            level += parts(one)
            named = [one.get(key) for key in FEATURE_KEYS] if isinstance(one, dict) else ()
            for name in named:
                if isinstance(name, str) and "." in name and not name.startswith("tensorflow_datasets."):
                    raise UserError(
                        f"{path} names {brief(name)}, which is no feature of TFDS: prepare the set yourself"
                    )


def _tfds(name: str, data_dir: str | None) -> Source:
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    image_key, label_key = _keys(name, builder.info)
    shape = builder.info.features[image_key].shape
    if shape[-1] not in (1, 3):
        raise UserError(f"the images of data set {name!r} are {shape}: they must have 1 or 3 channels")
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    if TRAIN not in splits:
        raise UserError(f"data set {name!r} has no split {TRAIN!r}, only {', '.join(splits)}: choose another set")
    tests = [split for split in TEST_NAMES if split in splits]
    skip = {image_key: tfds.decode.SkipDecoding()}  # its own decoders look at neither orientation nor transparency
    if len(tests) > 1:
        tests = [split for split in tests if _has_labels(builder, split, skip, label_key)] or tests
    test_name = next(iter(tests), None)

    def opened(split):
        # With the training images those of the test: that they are missing would only be noticed at the end of a run.
        _require_files(name, builder.info, (split, test_name) if split == TRAIN and test_name else (split,))
        return builder.as_data_source(split=split, decoders=skip)

    def get(source, split, part, value_of):
        try:
            return [value_of(example) for example in source.__getitems__(part)]
        except Exception as error:  # whatever the storage and the decoders make of damaged data
            raise UserError(
                f"{name}/{split}: an image of {min(part)}..{max(part)} cannot be read ({first_line(error)}): "
                "config.data.input=streaming steps over such images and names them"
            ) from error

    def read(split, indices=None):
        source = opened(split)
        indices = range(len(source)) if indices is None else indices
        images, labels = np.empty((len(indices), *shape), np.uint8), np.empty(len(indices), np.int32)

        def fill(start):
            part = list(map(int, indices[start : start + READ_AT_ONCE]))
            value_of = lambda example: (_pixels(example[image_key], shape), example[label_key])
            for place, pair in enumerate(get(source, split, part, value_of), start):
                images[place], labels[place] = pair

        _in_threads(fill, range(0, len(indices), READ_AT_ONCE))  # the decoders let go of Python's lock
        return images, labels

    def labels(split):
        source = opened(split)
        part = lambda start: range(start, min(start + READ_AT_ONCE, len(source)))
        read = lambda start: get(source, split, part(start), lambda example: example[label_key])
        found = _in_threads(read, range(0, len(source), READ_AT_ONCE))
        return np.array(list(itertools.chain.from_iterable(found)), np.int32)

    def records(split):
        name_key = next((key for key in NAME_KEYS if key in builder.info.features), None)
        return TfdsRecords(opened(split), image_key, label_key, name_key)

    left_out = tuple(skipped.load(pathlib.Path(builder.data_path) / skipped.LEFT_OUT))
    names = tuple(builder.info.features[label_key].names)
    known = beside.read(builder, image_key, label_key, len(names))
    return Source(names, shape, splits, test_name, read, labels, records, left_out, known)


def _has_labels(builder, split: str, skip: dict, label_key: str) -> bool:
    """Whether a split has its labels: TFDS gives -1 where they were kept back. False where its files are not there."""
    try:
        return builder.as_data_source(split=split, decoders=skip)[0][label_key] >= 0
    except Exception:  # TFDS's readers fail in many ways
        return False


def _pixels(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Uint8 of that shape.

    Raises:
      Broken: the image does not decode.
      ValueError: it is of another shape.
    """
    pixels = whole(data, shape[-1])
    if pixels.shape != shape:
        raise ValueError(f"one is of shape {pixels.shape}, not {shape}")
    return pixels


def _require_files(name: str, info, splits: Iterable[str]) -> None:
    """Raises UserError where files of splits are missing."""
    for split in splits:
        if info.splits[split].num_examples < 1:
            raise UserError(f"{name}/{split} has {info.splits[split].num_examples} examples: prepare the set again")
        for file in map(str, info.splits[split].filepaths):
            if not os.path.isfile(file) or not os.path.getsize(file):
                raise UserError(f"{name}/{split}: the file {file} is missing or empty: prepare or copy the set again")


def _in_threads(function: Callable, arguments) -> list:
    """The results of a function for each argument, in order."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, arguments))


def _keys(name: str, info) -> tuple[str, str]:
    """Which features hold the image and the label."""
    image_key, label_key = info.supervised_keys or ("image", "label")
    kinds = {key: type(feature).__name__ for key, feature in info.features.items()}
    if kinds.get(image_key) != "Image" or kinds.get(label_key) != "ClassLabel":
        raise UserError(f"data set {name!r} is no image classification (its features: {kinds}): choose another set")
    return image_key, label_key
