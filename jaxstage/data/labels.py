"""The labels of a set that `jaxstage prepare` made, beside it: a split that stays on disk is cut by them.

To read them from the records would mean to read every picture. Whether a set has the file is said where nothing gets
lost, in TFDS's own description: sets without it, those of TFDS or of an older version, are cut as they always were.
"""

import pathlib
from typing import Any

import numpy as np

from jaxstage.errors import UserError
from jaxstage.files import read_json, write_json

FILE = "labels.json"
DESCRIPTION = f"Made by jaxstage prepare; {FILE} has the label of every picture."


def write(builder: Any, image_key: str, label_key: str) -> None:
    """Writes the labels of a set that TFDS has just written, split by split in the order of the records."""
    import tensorflow_datasets as tfds

    skip = {image_key: tfds.decode.SkipDecoding()}
    splits = {split: builder.as_data_source(split=split, decoders=skip) for split in builder.info.splits}
    found = {split: [int(example[label_key]) for example in source] for split, source in splits.items()}
    write_json(pathlib.Path(builder.data_path) / FILE, found)


def read(builder: Any, classes: int) -> dict[str, np.ndarray]:
    """Labels int32 (examples,) of each split, below `classes`; none of a set that comes without.

    Raises:
      UserError: the file is missing or damaged, or is of another set.
    """
    if builder.info.description != DESCRIPTION:
        return {}
    path = pathlib.Path(builder.data_path) / FILE
    parse = lambda data: {split: _array(labels, classes) for split, labels in data.items()}
    found = read_json(path, parse, "prepare or copy the set again") or {}
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    if {split: labels.shape for split, labels in found.items()} != {split: (size,) for split, size in sizes.items()}:
        raise UserError(f"{path} is missing, or of another set: prepare or copy the set again")
    return found


def _array(labels: list, classes: int) -> np.ndarray:
    """Raises ValueError where these are no labels."""
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise ValueError("a label is none of the classes")
    return np.array(labels, np.int32)
