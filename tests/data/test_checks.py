"""Mistakes in a data set of one's own are told before anything is computed."""

import re

import numpy as np
import pytest

from jaxstage import config as configs
from jaxstage.data import load_train
from jaxstage.data.sources import from_arrays, open_source
from jaxstage.errors import UserError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 8, 8, 3), np.uint8)
LABELS = np.arange(40) % 2
GOOD = (IMAGES, LABELS)


@pytest.mark.parametrize(
    "train, test, text",
    [
        (
            (IMAGES / 255, LABELS),
            None,
            "train: the images are an array of float64 (40, 8, 8, 3): give a NumPy array of uint8",
        ),
        ((IMAGES.tolist(), LABELS), None, "train: the images are a list"),
        ((None, LABELS), None, "train: the images are a NoneType"),
        ((IMAGES[..., 0], LABELS), None, "of shape (40, 8, 8): give (number, height, width, channels)"),
        ((IMAGES[:0], LABELS[:0]), None, "of shape (0, 8, 8, 3)"),
        ((IMAGES, None), None, "train: the labels are a NoneType: give whole numbers from 0 on"),
        ((IMAGES, LABELS + 0.5), None, "train: the labels are an array of float64 (40,)"),
        ((IMAGES, np.where(LABELS, np.nan, 0.0)), None, "the labels are an array of float64"),
        ((IMAGES, ["a"] * 40), None, "the labels are a list"),
        ((IMAGES, LABELS[:, None]), None, "the labels are an array of int64 (40, 1)"),
        ((IMAGES, LABELS[:39]), None, "40 images and 39 labels"),
        ((IMAGES, LABELS * 5), None, "label 5 of example 1, and 19 more, stand for none of the 2 classes"),
        ((IMAGES, -LABELS), None, "label -1 of example 1"),
        (IMAGES, None, "train is a ndarray: give a pair, images and labels"),
        (GOOD, (IMAGES[:4], LABELS[:4] + 2), "test: label 2 of example 0"),
        (GOOD, (IMAGES[:4, :4], LABELS[:4]), "differ in shape (train (8, 8, 3), test (4, 8, 3))"),
        (GOOD, (IMAGES[:0], LABELS[:0]), "test: the images are of shape (0, 8, 8, 3)"),
        (GOOD, (), "test is a tuple: give a pair"),
    ],
)
def test_arrays_that_do_not_fit(train, test, text):
    with pytest.raises(UserError, match=re.escape(text)):
        from_arrays("ab", train, test)


def load(function, monkeypatch, tmp_path, **data):
    """The training data of `mine:function`."""
    (tmp_path / "mine.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    import mine

    mine.function = function
    config = configs.default().data
    config.update({"name": "mine:function", **data})
    return load_train(config, 0)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """The module of one test is none of another's."""
    import sys

    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield
    sys.modules.pop("mine", None)


def raises():
    raise KeyError("no such file")


@pytest.mark.parametrize(
    "function, text",
    [
        (raises, "mine:function raised KeyError: 'no such file'"),
        (lambda: None, "mine:function returned None (NoneType): expected a Source"),
        (lambda: GOOD, "mine:function returned (array("),
        (lambda: from_arrays("ab", (np.zeros_like(IMAGES), LABELS)), "all 28 training images are the same"),
        (lambda: from_arrays("ab", GOOD)._replace(splits={"all": 40}), "mine:function has no split 'train', only all"),
        (
            lambda: from_arrays("ab", GOOD)._replace(read=lambda split, indices=None: (IMAGES, LABELS + 1)),
            "mine:function/train: label 2 of example 1",
        ),
    ],
)
def test_functions_that_bring_something_else(function, text, monkeypatch, tmp_path):
    with pytest.raises(UserError, match=re.escape(text)):
        load(function, monkeypatch, tmp_path)


@pytest.mark.parametrize("data", [{"examples": 20}, {"input": "streaming"}])
def test_labels_are_looked_at_however_a_set_is_read(data, monkeypatch, tmp_path):
    wrong = from_arrays("abc", (IMAGES, LABELS + 1))._replace(class_names=("a", "b"))
    with pytest.raises(UserError, match="stand for none of the 2 classes"):
        load(lambda: wrong, monkeypatch, tmp_path, **data)


def test_what_fits_is_left_as_it_is(monkeypatch, tmp_path):
    source = from_arrays("ab", (IMAGES, LABELS.astype(float)), test=(IMAGES[:4], [True, False, 1, 0]))
    assert source.read("train")[1].dtype == np.int32 and (source.read("train")[1] == LABELS).all()
    assert load(lambda: source, monkeypatch, tmp_path).train.size == 36
    assert open_source("digits", None).splits == {"train": 1797}
