"""From a data set's name to training, validation and test arrays."""
from typing import NamedTuple

import numpy as np

from jaxstage.data.sources import TRAIN, Source, open_source
from jaxstage.errors import UserError

TEST_SHARE = 0.2  # of a set that comes without a test split
TEST_SEED = 0  # fixed: every run on such a set is tested on the same images, whatever its own seed


class Arrays(NamedTuple):
    """Images uint8 (n, height, width, channels) and labels int32 (n,)."""

    image: np.ndarray
    label: np.ndarray

    @property
    def size(self) -> int:
        return self.label.shape[0]

    def take(self, indices) -> "Arrays":
        return Arrays(self.image[indices], self.label[indices])


class Normalization(NamedTuple):
    """What is subtracted from, and divides, pixel / 255; float32, broadcast over (height, width, channels)."""

    mean: np.ndarray
    std: np.ndarray


class Dataset(NamedTuple):
    """What a search may see of a data set: never the test split."""

    name: str
    class_names: tuple[str, ...]
    train: Arrays
    validation: Arrays
    normalization: Normalization

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train.image.shape[1:]


def load_train(config, seed: int) -> Dataset:
    """Reads the training split and cuts the validation set from it.

    Args:
      config: the config's `data` part.
      seed: of the stratified cut.

    Raises:
      UserError: the set is not there, does not fit, or is too small to be cut so.
    """
    source = open_source(config.name, config.dir)
    everything = Arrays(*source.read(TRAIN))
    if source.test_name is None:
        everything, _ = stratified_cut(everything, TEST_SHARE, TEST_SEED)
    if config.examples is not None:
        if config.examples >= everything.size:
            raise UserError(f"config.data.examples={config.examples}: {config.name} has only {everything.size} to choose from")
        _, everything = stratified_cut(everything, config.examples, seed)
    train, validation = stratified_cut(everything, config.validation, seed)
    return Dataset(config.name, source.class_names, train, validation, measure(train.image, config.normalize))


def load_test(config) -> Arrays:
    """Reads the test split: for the one evaluation at the end."""
    source: Source = open_source(config.name, config.dir)
    if source.test_name is not None:
        return Arrays(*source.read(source.test_name))
    return stratified_cut(Arrays(*source.read(TRAIN)), TEST_SHARE, TEST_SEED)[1]


def load_split(config, split: str) -> tuple[Arrays, tuple[str, ...]]:
    """Reads a split for an evaluation, with the names of its classes.

    Args:
      config: the config's `data` part.
      split: `test` as `load_test` reads it, or a split by its name in the data set; `train` of a set without a test
        split is what `load_test` leaves.

    Raises:
      UserError: the set or the split is not there.
    """
    source = open_source(config.name, config.dir)
    if split != "test" and split not in source.splits:
        known = ", ".join(dict.fromkeys(("test", *source.splits)))
        raise UserError(f"config.evaluate.split={split!r}: {config.name} has only {known}")
    if split == "test":
        arrays = load_test(config)
    else:
        arrays = Arrays(*source.read(split))
        if source.test_name is None:
            arrays, _ = stratified_cut(arrays, TEST_SHARE, TEST_SEED)
    if config.examples is not None and config.examples < arrays.size:
        _, arrays = stratified_cut(arrays, config.examples, TEST_SEED)
    return arrays, source.class_names


def stratified_cut(arrays: Arrays, size: float | int, seed: int) -> tuple[Arrays, Arrays]:
    """Two parts that share nothing; the second has `size` examples (a share or a number), classes in proportion."""
    from sklearn.model_selection import train_test_split

    try:
        first, second = train_test_split(
            np.arange(arrays.size), test_size=size, random_state=seed, stratify=arrays.label
        )
    except ValueError as error:
        raise UserError(f"cannot cut {size} of {arrays.size} examples with all classes in proportion: {error}") from error
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
