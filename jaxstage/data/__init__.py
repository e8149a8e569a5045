"""Data as the rest of the program sees it: arrays of uint8 images and int32 labels."""
from jaxstage.data.dataset import Arrays, Dataset, Normalization, load_split, load_test, load_train

__all__ = ["Arrays", "Dataset", "Normalization", "load_split", "load_test", "load_train"]
