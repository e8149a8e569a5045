"""Counts by class: shares, intervals, and what of them stands out."""

import pytest
from scipy.stats import binomtest

from jaxstage.workdir import confusion
from jaxstage.workdir.confusion import Confusion

NAMES = ("cat", "dog", "eel", "fox")
UNEVEN = Confusion(NAMES, ((8, 2, 0, 0), (1, 3, 0, 0), (1, 1, 0, 0), (0, 0, 0, 0)))


@pytest.mark.parametrize("right, of", [(0, 5), (5, 5), (45, 50), (7247, 10_000)])
def test_the_interval_is_wilsons(right, of):
    assert confusion.interval(right, of) == pytest.approx(
        tuple(binomtest(right, of).proportion_ci(method="wilson")), abs=1e-6
    )


def test_shares_by_true_class():
    assert (UNEVEN.accuracy, UNEVEN.examples, UNEVEN.most_frequent) == (11 / 16, 16, 10 / 16)
    assert UNEVEN.by_class["dog"] == {"right": 3, "of": 4, "accuracy": 0.75}
    assert UNEVEN.by_class["fox"] == {"right": 0, "of": 0, "accuracy": None}
    assert UNEVEN.balanced_accuracy == pytest.approx((0.8 + 0.75 + 0) / 3)
    assert confusion.of(("a", "b"), [0, 0, 1], [0, 1, 1]).rows == ((1, 1), (0, 1))


def test_what_stands_out_is_told():
    assert UNEVEN.remarks() == [
        "not clearly better than to name always the most frequent class, which is right for 62.5%",
        "never named: eel",
        "most often mistaken: cat for dog (2 of 10), dog for cat (1 of 4), eel for cat (1 of 2), eel for dog (1 of 2)",
    ]
    good = Confusion(("a", "b", "c"), ((50, 0, 0), (0, 50, 0), (1, 0, 49)))
    assert good.remarks() == ["most often mistaken: c for a (1 of 50)"]
    swapped = Confusion(("a", "b", "c"), ((90, 0, 0), (0, 0, 5), (0, 5, 0)))
    assert swapped.never_right == ["b", "c"] and "never named rightly: b, c" in swapped.remarks()
