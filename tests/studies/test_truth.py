"""studies/truth.py and fidelity.py: a case of the smallest networks, and what is known of made-up gains."""

import functools

import numpy as np
import pytest

from jaxstage.config import load
from studies import fidelity, truth
from studies.study import RESULTS, files

CONFIG = functools.partial(
    load,
    "digits",
    {
        "model.depths": (1,),
        "model.widths": (4,),
        "data.validation": 0.5,
        "candidate.epochs": 1,
        "final.epochs": 1,
        "importance.examples": 64,
        "growth.step": 1,
    },
)


def test_a_case_is_trained_and_scored(tmp_path):
    told = truth.train(tmp_path, CONFIG(), (1,))
    depths = {"start": (1,), "longer": (1,), "probe": (2,), "stage1": (2,)}
    assert {name: one["depths"] for name, one in told.items()} == depths
    assert told["longer"]["loss"] < told["start"]["loss"]
    again = truth.train(tmp_path, CONFIG(), (1,))  # nothing is trained anew
    assert again["stage1"]["loss"] == told["stage1"]["loss"]
    scores = truth.score(tmp_path, CONFIG(), (1,))
    assert scores.keys() == set(fidelity.OTHERS)
    assert np.shape(scores["ablation"]["before"]) == np.shape(scores["ablation"]["probe"]) == (8, 1)
    assert all(one["before"] != one["probe"] for one in scores.values())


def test_the_committed_cases_are_those_that_the_command_makes():
    (found,) = files(RESULTS, "truth.json").values()
    assert found["settings"]["changes"] == {
        key: list(value) if isinstance(value, tuple) else value for key, value in truth.CHANGES.items()
    }
    assert [(tuple(case["start"]), case["seed"]) for case in found["cells"].values()] == [
        (start, seed) for seed in truth.SEEDS for start in truth.STARTS
    ]


def test_agreement_of_evidence_that_is_known():
    gains = np.array([np.roll([0.3, 0.1, -0.2], shift) for shift in (0, 1, 2, 0)])
    starts = [(1, 1, 1), (1, 1, 4), (3, 1, 1), (1, 1, 1)]
    honest, wrong = fidelity.agreement(gains, gains, starts), fidelity.agreement(-gains, gains, starts)
    assert honest["correlation"] == pytest.approx(1) and honest["regret"] == 0
    assert wrong["correlation"] == pytest.approx(-1) and wrong["regret"] == pytest.approx(0.5)
    assert fidelity.over_random(gains, gains)["low"] > 0 > fidelity.over_random(-gains, gains)["high"]


def test_equal_evidence_is_a_draw():
    found = fidelity.over_random(np.array([[1.0, 1.0, 0.0]]), np.array([[0.3, 0.1, -0.1]]))
    assert found["mean"] == pytest.approx(0.2 - 0.1)
    assert fidelity.over_random(np.zeros((4, 3)), np.arange(12.0).reshape(4, 3))["mean"] == pytest.approx(0)
