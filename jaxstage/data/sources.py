"""Reading whole splits of a data set into memory: the bundled digits, and TensorFlow Datasets (without TensorFlow)."""
import os
from typing import NamedTuple

import numpy as np

from jaxstage.errors import UserError

TRAIN = "train"
TEST_NAMES = ("test", "validation")  # in this order; many sets keep the labels of their test split to themselves
READ_AT_ONCE = 1000
RESIDENT_BYTES = 8 * 2**30  # a set is held in memory as a whole


class Source(NamedTuple):
    """A data set before anything is cut from it.

    Attributes:
      class_names: one name for each label.
      image_shape: (height, width, channels).
      splits: names of all splits.
      test_name: name of the split kept for the test, or None if the set has only `train`.
      read: split name -> (images uint8 (n, height, width, channels), labels int32 (n,)).
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    splits: tuple[str, ...]
    test_name: str | None
    read: callable


def open_source(name: str, data_dir: str | None) -> Source:
    """Finds the data set called `name`; reads no images yet.

    Raises:
      UserError: it is not there, or its images do not fit this program.
    """
    return _digits() if name == "digits" else _tfds(name, data_dir)


def _digits() -> Source:
    """The 1,797 handwritten 8x8 digits that scikit-learn ships (UCI optical recognition of handwritten digits)."""
    from sklearn.datasets import load_digits

    def read(split):
        images, labels = load_digits(return_X_y=True)
        images = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)  # 17 grey levels to 0..255
        return images, labels.astype(np.int32)

    return Source(tuple("0123456789"), (8, 8, 1), (TRAIN,), None, read)


def _tfds(name: str, data_dir: str | None) -> Source:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    root = os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    try:
        # From the files alone: the ordinary tfds.builder() would go to the network for a set that is not there.
        builder = read_only_builder.builder_from_files(name, data_dir=root)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise UserError(
            f"data set {name!r} is not in {root}: prepare it with  python -c \"import tensorflow_datasets as tfds; "
            f"tfds.builder({name!r}, data_dir={root!r}).download_and_prepare(file_format='array_record')\"  "
            "or point config.data.dir at the folder that has it"
        ) from error
    if builder.info.file_format.value != "array_record":
        raise UserError(
            f"data set {name!r} in {root} is stored as {builder.info.file_format.value}, which needs TensorFlow: "
            "rewrite it once with  tfds convert_format --root_data_dir=... --out_file_format=array_record"
        )
    image_key, label_key = _keys(name, builder.info)
    shape = builder.info.features[image_key].shape
    _check_shape(name, shape)
    splits = builder.info.splits
    _check_size(name, shape, sum(split.num_examples for split in splits.values()))
    if TRAIN not in splits:
        raise UserError(f"data set {name!r} has no split {TRAIN!r}, only {', '.join(splits)}: choose another set")

    def read(split):
        source = builder.as_data_source(split=split)
        images = np.empty((len(source), *shape), np.uint8)
        labels = np.empty(len(source), np.int32)
        for start in range(0, len(source), READ_AT_ONCE):
            indices = range(start, min(start + READ_AT_ONCE, len(source)))
            for index, example in zip(indices, source.__getitems__(list(indices))):
                images[index], labels[index] = example[image_key], example[label_key]
        return images, labels

    test_name = next((split for split in TEST_NAMES if split in splits), None)
    return Source(tuple(builder.info.features[label_key].names), shape, tuple(splits), test_name, read)


def _keys(name: str, info) -> tuple[str, str]:
    """Which features hold the image and the label."""
    image_key, label_key = info.supervised_keys or ("image", "label")
    kinds = {key: type(feature).__name__ for key, feature in info.features.items()}
    if kinds.get(image_key) != "Image" or kinds.get(label_key) != "ClassLabel":
        raise UserError(f"data set {name!r} is no image classification (its features: {kinds}): choose another set")
    return image_key, label_key


def _check_shape(name: str, shape) -> None:
    if None in shape:
        raise UserError(f"the images of data set {name!r} differ in size {shape}: choose a set of one fixed size")
    height, width, channels = shape
    if height != width or channels not in (1, 3):
        raise UserError(f"the images of data set {name!r} are {shape}: they must be square with 1 or 3 channels")


def _check_size(name: str, shape, examples: int) -> None:
    if examples * np.prod(shape, dtype=np.int64) > RESIDENT_BYTES:
        raise UserError(
            f"data set {name!r} has {examples:,} images of {shape}: more than the {RESIDENT_BYTES / 2**30:g} GiB that "
            "are held in memory; choose a smaller set or resolution"
        )
