"""Weights of classes that differ in how many images they have."""

import numpy as np

from jaxstage.data import checks
from jaxstage.data.dataset import Arrays
from jaxstage.data.streaming import Stream


def class_weights(split: Arrays | Stream, classes: int) -> np.ndarray:
    """For each class the mean number of images of a class, relative to its own, float32 (classes,).

    So weighted, all classes have the same part in a mean over the split, and the mean weight of its images is 1. A class
    without images has weight 0. The labels of a stream are read for it, from disk; images that cannot be read have none.

    Raises:
      UserError: a label of a stream is no number of a class.
    """
    if isinstance(split, Stream):
        labels = split.read_labels()
        checks.label_numbers(split.name, labels, len(labels), classes)
    else:
        labels = np.asarray(split.label)
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    return np.where(counts, counts.sum() / (present * np.maximum(counts, 1)), 0).astype(np.float32)
