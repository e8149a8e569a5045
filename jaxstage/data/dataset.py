"""From a data set's name to training, validation and test data: arrays in memory, or streams from disk."""

import contextlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from jaxstage import plugins
from jaxstage.data import checks
from jaxstage.data.pictures import CROP
from jaxstage.data.sources import TRAIN, Source, open_source
from jaxstage.data.streaming import Stream
from jaxstage.errors import UserError

RESIDENT_BYTES = 8 * 2**30  # up to here `auto` holds a set on the devices, as a whole
MEASURED, MEASURED_BYTES = 512, 2**30  # the most of a stream that its mean and deviation are measured on
TEST_SHARE = 0.2  # of a set that comes without a test split
LOOKED_AT = 100  # labels of a test split that is not read as a whole
TEST_SEED = 0  # fixed: every run on such a set is tested on the same images, whatever its own seed


class Arrays(NamedTuple):
    """Images uint8 (n, height, width, channels) and labels int32 (n,)."""

    image: np.ndarray
    label: np.ndarray

    @property
    def size(self) -> int:
        return self.label.shape[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.image.shape[1:]

    def take(self, indices) -> "Arrays":
        return Arrays(self.image[indices], self.label[indices])


class Unread(NamedTuple):
    """Examples whose images are still on disk, so that only those are decoded that a cut leaves.

    Attributes:
      read: indices -> (images, labels), see `Source.read`.
      label: int32 (n,).
      index: int (n,), of the examples in their split.
    """

    read: Callable
    label: np.ndarray
    index: np.ndarray

    @property
    def size(self) -> int:
        return self.label.shape[0]

    def take(self, indices) -> "Unread":
        return Unread(self.read, self.label[indices], self.index[indices])

    def load(self) -> Arrays:
        return Arrays(*self.read(self.index))


class Normalization(NamedTuple):
    """What is subtracted from, and divides, pixel / 255; float32, broadcast over (height, width, channels)."""

    mean: np.ndarray
    std: np.ndarray


class Dataset(NamedTuple):
    """What a search may see of a data set: never the test split.

    `left_out` are the images, of any split, that preparing the set left out, see `jaxstage.data.skipped`.
    """

    name: str
    class_names: tuple[str, ...]
    train: Arrays | Stream
    validation: Arrays | Stream
    normalization: Normalization
    left_out: tuple[dict, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train.image_shape


def load_train(config, seed: int) -> Dataset:
    """Finds the training split and cuts the validation set from it; what is not streamed is read.

    Args:
      config: the config's `data` part.
      seed: of the cut, see `divide`.

    Raises:
      UserError: the set is not there, does not fit, or is too small to be cut so.
    """
    source = open_source(config.name, config.dir)
    if len(source.class_names) < 2:
        raise UserError(
            f"{config.name} has only the classes {source.class_names}: add one, or there is nothing to learn"
        )
    _check_test(config, source)
    everything = _without_test(open_split(config, source, TRAIN, unread=config.examples is not None), source)
    if config.examples is not None:
        if config.examples >= everything.size:
            raise UserError(
                f"config.data.examples={config.examples}: {config.name} has only {everything.size} to choose from"
            )
        _, everything = divide(everything, config.examples, seed)
    train, validation = divide(everything, config.validation, seed)
    if isinstance(train, Stream):
        measured = max(min(MEASURED, MEASURED_BYTES // math.prod(train.image_shape)), 1)
        sample = divide(train, measured, seed)[1] if train.size > measured else train
        images, labels = sample.read(report=lambda *_: None)  # the training itself counts what is broken
        if not len(images):
            raise UserError(f"none of {sample.size} images of {train.name} can be read: prepare the set again")
        checks.label_numbers(train.name, labels, len(images), len(source.class_names))
        train = replace(train, crop_scale=tuple(config.crop_scale))
    else:
        if isinstance(train, Unread):
            train, validation = train.load(), validation.load()
            checks.arrays(config.name, TRAIN, *train, len(source.class_names))
        images = train.image
    checks.different(config.name, images)
    normalization = measure(images, config.normalize)
    return Dataset(config.name, source.class_names, train, validation, normalization, source.left_out)


def _check_test(config, source: Source) -> None:
    """Looks whether the test can take place, of which nothing else is known before the end: its labels, and a shape.

    Of a set that is streamed only some labels are looked at, and what cannot be read is told when it counts.

    Args:
      config: the config's `data` part.
      source: the opened set.

    Raises:
      UserError: it cannot.
    """
    split, classes = source.test_name, len(source.class_names)
    if split is None:
        return
    where = f"{config.name}/{split}"
    if config.input == "streaming" or source.bytes is None or source.bytes > RESIDENT_BYTES:
        records, labels = source.records(split), []
        for index in np.linspace(0, len(records) - 1, min(len(records), LOOKED_AT), dtype=int):
            with contextlib.suppress(Exception):  # whatever storage makes of it
                labels.append(records[int(index)][1])
        checks.label_numbers(where, labels, len(labels), classes)
        return
    checks.label_numbers(where, source.labels(split), source.splits[split], classes)
    if plugins.is_own(config.name):  # TFDS's splits have one shape
        image, _ = checks.arrays(config.name, split, *source.read(split, np.arange(1)), classes)
        checks.same_shape(config.name, {TRAIN: source.image_shape, split: image.shape[1:]})


def load_test(config) -> Arrays | Stream:
    """Finds the test split: for the one evaluation at the end."""
    source = open_source(config.name, config.dir)
    if source.test_name is not None:
        return open_split(config, source, source.test_name)
    return divide(open_split(config, source, TRAIN), TEST_SHARE, TEST_SEED)[1]


def load_split(config, split: str) -> tuple[Arrays | Stream, tuple[str, ...]]:
    """Finds a split for an evaluation, with the names of its classes.

    Args:
      config: the config's `data` part.
      split: `test` as `load_test` has it, or a split by its name in the data set; `train` of a set without a test
        split is what `load_test` leaves.

    Raises:
      UserError: the set or the split is not there.
    """
    source = open_source(config.name, config.dir)
    if split != "test" and split not in source.splits:
        known = ", ".join(dict.fromkeys(("test", *source.splits)))
        raise UserError(f"config.evaluate.split={split!r}: {config.name} has only {known}")
    found = load_test(config) if split == "test" else _without_test(open_split(config, source, split), source)
    if config.examples is not None and config.examples < found.size:
        _, found = divide(found, config.examples, TEST_SEED)
    return found, source.class_names


def input_shape(config) -> tuple[tuple[int, int, int], int]:
    """(height, width, channels) of what a network on a data set takes, and its number of classes; reads no images.

    Args:
      config: the config's `data` part.

    Raises:
      UserError: the set is not there, or nothing says how large its images are to be.
    """
    source = open_source(config.name, config.dir)
    return (*_size(config, source), source.image_shape[-1]), len(source.class_names)


def _size(config, source: Source) -> tuple[int, int]:
    """(height, width) that the network takes."""
    asked = config.image_size
    if asked is not None:
        return (asked, asked) if isinstance(asked, int) else asked
    height, width, _ = source.image_shape
    if height is None or width is None:
        raise UserError(
            f"config.data.image_size=None: the images of {config.name} differ in size; say how many pixels a side the "
            "network takes, or (height, width)"
        )
    return height, width


def open_split(config, source: Source, split: str, unread: bool = False) -> Arrays | Unread | Stream:
    """A whole split, in memory or as a stream, as `config.input` says.

    Args:
      config: the config's `data` part.
      source: the opened set.
      split: its name.
      unread: whether to leave the images of a split that belongs into memory on disk, for `Unread.load`.

    Raises:
      UserError: the images do not fit that.
    """
    own, channels = source.image_shape[:2], source.image_shape[-1]
    fits = None not in source.image_shape and _size(config, source) == own
    resident = config.input == "resident" or config.input == "auto" and fits and source.bytes <= RESIDENT_BYTES
    if not resident:
        shape = (*_size(config, source), channels)
        if config.decoder == "opencv" and importlib.util.find_spec("cv2") is None:
            raise UserError("config.data.decoder='opencv': OpenCV is not installed: pip install jaxstage[opencv]")
        records = source.records(split)
        indices = np.arange(len(records))
        labels, fit = source.known_labels.get(split), config.fit or CROP
        return Stream(f"{config.name}/{split}", records, indices, shape, (), config.decoder, fit, labels)
    if not fits:
        raise UserError(
            f"config.data.input={config.input!r}: the images of {config.name} are {source.image_shape} and "
            f"config.data.image_size={config.image_size}; what stays in memory must have one size: use streaming"
        )
    if config.crop_scale:
        raise UserError(
            f"config.data.crop_scale={tuple(config.crop_scale)}: cut while decoding, so only with "
            f"config.data.input=streaming; {config.name} is held in memory, use config.data.crop_padding"
        )
    classes = len(source.class_names)
    if unread:
        label = checks.label_numbers(f"{config.name}/{split}", source.labels(split), source.splits[split], classes)
        return Unread(partial(source.read, split), label, np.arange(len(label)))
    return Arrays(*checks.arrays(config.name, split, *source.read(split), classes))


def _without_test(split: Arrays | Unread | Stream, source: Source) -> Arrays | Unread | Stream:
    return split if source.test_name is not None else divide(split, TEST_SHARE, TEST_SEED)[0]


def divide(split: Arrays | Unread | Stream, size: float | int, seed: int) -> tuple:
    """Two parts that share nothing; the second has `size` examples (a share or a number). What has its labels at
    hand is cut stratified, a stream that has not at random."""
    if not isinstance(split, Stream):
        return divide_stratified(split, size, seed)
    number = math.ceil(size * split.size) if isinstance(size, float) else size  # rounded as scikit-learn does
    if not 0 < number < split.size:
        raise UserError(f"cannot cut {size} of {split.size} examples of {split.name}")
    order = np.random.default_rng(seed).permutation(split.size)
    if split.labels is not None:
        order = _in_proportion(order, split.labels)
    return split.take(np.sort(order[number:])), split.take(np.sort(order[:number]))


def _in_proportion(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The examples so that any first part of them has the classes in proportion; within a class in the given order.

    Unlike scikit-learn it takes classes of any size: one with a single picture comes in the middle.
    """
    labels = labels[order]
    counts = np.bincount(labels)
    rank = np.empty(len(order), int)
    rank[np.argsort(labels, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return order[np.argsort((rank + 0.5) / counts[labels], kind="stable")]


def divide_stratified(arrays: Arrays | Unread, size: float | int, seed: int) -> tuple:
    """Two parts that share nothing; the second has `size` examples (a share or a number), classes in proportion."""
    from sklearn.model_selection import train_test_split

    try:
        first, second = train_test_split(
            np.arange(arrays.size), test_size=size, random_state=seed, stratify=arrays.label
        )
    except ValueError as error:
        raise UserError(
            f"cannot cut {size} of {arrays.size} examples with all classes in proportion: {error}"
        ) from error
    return arrays.take(first), arrays.take(second)


def measure(images: np.ndarray, kind: str) -> Normalization:
    """Mean and deviation of uint8 images on the scale 0..1: `channel`, or the mean image alone (`pixel`, as the paper)."""
    axes = (0,) if kind == "pixel" else (0, 1, 2)
    # Sums of integers: exact, and no float copy of the whole set.
    mean = images.sum(axes, dtype=np.int64) / (255 * np.prod([images.shape[axis] for axis in axes]))
    if kind == "pixel":
        std = np.ones(())
    else:
        counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])])
        squares = counts @ (np.arange(256) / 255.0) ** 2 / counts.sum(-1)
        std = np.sqrt(np.maximum(squares - mean**2, 1e-12))
    return Normalization(mean.astype(np.float32), std.astype(np.float32))
