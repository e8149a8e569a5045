"""Class weights, against their definition and scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from jaxstage.data import Arrays, Stream
from jaxstage.data.balance import class_weights
from jaxstage.data.sources import ArrayRecords
from jaxstage.errors import UserError


def split_of(labels) -> Arrays:
    return Arrays(np.zeros((len(labels), 2, 2, 1), np.uint8), np.array(labels, np.int32))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_present_classes_weigh_as_scikit_learn_has_them_and_absent_ones_nothing(labels):
    weights, present = class_weights(split_of(labels), 6), np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(weights[present], expected, rtol=1e-6)
    assert weights.dtype == np.float32 and weights.sum() == pytest.approx(expected.sum(), rel=1e-6)
    assert weights[np.array(labels)].mean() == pytest.approx(1, rel=1e-5)


class Damaged(ArrayRecords):
    def __getitem__(self, index):
        if index == 2:
            raise OSError("damaged")
        return super().__getitem__(index)


def test_a_stream_has_the_weights_of_the_labels_that_can_be_read():
    labels = [0, 1, 0, 1, 1, 2]
    stream = lambda labels: Stream("toy/train", Damaged(*split_of(labels)), np.array([5, 4, 3, 2, 1, 0]), (2, 2, 1))
    np.testing.assert_array_equal(class_weights(stream(labels), 3), class_weights(split_of([0, 1, 1, 1, 2]), 3))
    with pytest.raises(UserError, match="toy/train: label 7 of example 0"):
        class_weights(stream([0, 1, 0, 1, 1, 7]), 3)
