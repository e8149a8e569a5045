"""The labels of a set that `jaxstage prepare` made, beside it: a split that stays on disk is cut by them.

To read them from the records would mean to read every picture. Whether a set has the file is said where nothing gets
lost, in TFDS's own description: sets without it, those of TFDS or of an older version, are cut as they always were.
"""

import pathlib
from typing import Any

import numpy as np

from jaxstage.errors import UserError
from jaxstage.files import MOVE, read_json, write_json

FILE = "labels.json"
DESCRIPTION = f"Made by jaxstage prepare; {FILE} has the label of every picture."


def write(builder: Any, image_key: str, label_key: str) -> None:
    """Writes the labels of a set that TFDS has just written, split by split in the order of the records."""
    write_json(pathlib.Path(builder.data_path) / FILE, _of_records(builder, image_key, label_key))


def read(builder: Any, image_key: str, label_key: str, classes: int) -> dict[str, np.ndarray]:
    """Labels int32 (examples,) of each split, below `classes`; none of a set that comes without.

    Where the file got lost, or preparing was cut short before it, the records are read, which takes longer.

    Raises:
      UserError: the file is damaged, or of another set.
    """
    if builder.info.description != DESCRIPTION:
        return {}
    path = pathlib.Path(builder.data_path) / FILE
    of = lambda data: {split: _array(labels, classes) for split, labels in data.items()}
    if (found := read_json(path, of)) is None:
        return of(_of_records(builder, image_key, label_key))
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    if {split: labels.shape for split, labels in found.items()} != {split: (size,) for split, size in sizes.items()}:
        raise UserError(f"{path} is of another set: {MOVE}")
    return found


def _of_records(builder: Any, image_key: str, label_key: str) -> dict[str, list[int]]:
    import tensorflow_datasets as tfds

    skip = {image_key: tfds.decode.SkipDecoding()}
    splits = {split: builder.as_data_source(split=split, decoders=skip) for split in builder.info.splits}
    return {split: [int(example[label_key]) for example in source] for split, source in splits.items()}


def _array(labels: list, classes: int) -> np.ndarray:
    """Raises ValueError where these are no labels."""
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise ValueError("a label is none of the classes")
    return np.array(labels, np.int32)
