"""Data as the rest of the program sees it: arrays of uint8 images and int32 labels, or streams of such batches."""

from jaxstage.data.dataset import Arrays, Dataset, Normalization, input_shape, load_split, load_test, load_train
from jaxstage.data.streaming import Stream

__all__ = ["Arrays", "Dataset", "Normalization", "Stream", "input_shape", "load_split", "load_test", "load_train"]
