"""benchmarks/agreement.py on invented cases, of which it is known what has to come out."""

import sys

import numpy as np
import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import agreement

STARTS = ((1, 1, 1), (1, 1, 4))


def case(start, seed, gains):
    """A method `honest` scores the added blocks by what they gain; perturbation falls by it, as a level and relatively."""
    told = {
        name: {"depths": depths, "loss": 1.0, "accuracy": 0.5, "macs": 100}
        for name, depths in {"start": start, "longer": start, "probe": tuple(d + 1 for d in start)}.items()
    }
    for stage, gain in enumerate(gains):
        told[f"stage{stage + 1}"] = {"loss": 1.0 - gain, "accuracy": 0.5 + gain / 10, "macs": 110}
    honest = [[gain - 0.01 for gain in gains], [gain + 0.01 for gain in gains]]
    fallen = [[2.0 - gain for gain in gains], [2.0 - gain for gain in gains]]
    return {
        "start": start,
        "seed": seed,
        "candidates": told,
        "scores": {
            agreement.REFERENCE: {"before": [[2.0, 2.0, 2.0]] * 2, "probe": fallen, "passes": 600, "seconds": 1.0},
            "honest": {"before": None, "probe": honest, "passes": 300, "seconds": 0.5},
        },
    }


CASES = [
    case(start, seed, np.roll([0.3, 0.1, -0.2], seed + shift))
    for shift, start in enumerate(STARTS)
    for seed in (0, 1, 2)
]


def test_ranking():
    found = agreement.figures(CASES, batch_size=50, hypotheses=("honest",))
    assert found["cases"] == found["best_is_best_per_mac"] == 6
    mean = lambda name, key: found["ranking"][name][key]["mean"]
    honest, fallen = "honest", f"{agreement.REFERENCE}, relative rise"
    assert mean(honest, "top1") == mean(honest, "spearman") == 1 and mean(honest, "regret_loss") == 0
    assert mean(fallen, "top1") == 0 and mean(fallen, "spearman") == pytest.approx(-1)
    assert mean(fallen, "regret_loss") == pytest.approx(0.5) and mean(fallen, "regret_accuracy") == pytest.approx(0.05)
    assert mean(f"{agreement.REFERENCE}, lowest score", "top1") == pytest.approx(1 / 3)  # all starts score alike
    assert mean("(trivial) random", "top1") == pytest.approx(1 / 3)
    assert mean("(trivial) random", "over_random_loss") == pytest.approx(0)
    assert mean("(trivial) first stage", "top1") == pytest.approx(1 / 3)  # each place was the best one twice
    assert found["ranking"][honest]["steps"] == 2 and found["ranking"][fallen]["steps"] == 4


def test_growing():
    found = agreement.figures(CASES, batch_size=50, hypotheses=("honest",))["growing"]
    honest = found["honest > 1 errors"]
    assert honest["grown"]["mean"] == pytest.approx(2 / 3) and honest["right"]["mean"] == 1
    assert honest["gain_grown"] == pytest.approx(0.2) and honest["gain_left"] == pytest.approx(-0.2)
    assert honest["difference"]["mean"] == pytest.approx(0.4)
    fallen = found[f"{agreement.REFERENCE}, relative rise > 0 errors"]
    assert fallen["right"]["mean"] == 0 and fallen["difference"]["mean"] == pytest.approx(-0.4)


def test_the_truth_of_seeds_that_disagree_is_not_repeatable():
    assert (
        agreement.figures(CASES, batch_size=50, hypotheses=("honest",))["repeatable"]["p"] > 0.5
    )  # another stage is the best for each seed
    noise = iter(np.random.default_rng(0).normal(0, 0.01, (6, 3)))
    agreeing = [
        case(start, seed, np.roll([0.3, 0.1, -0.2], shift) + next(noise))
        for shift, start in enumerate(STARTS)
        for seed in range(3)
    ]
    assert agreement.figures(agreeing, batch_size=50, hypotheses=("honest",))["repeatable"]["p"] < 1e-6


def test_what_luck_can_do():
    found = agreement.figures(CASES, batch_size=50, hypotheses=("honest",))["luck"]
    assert found["best"] == "honest" and found["p"] < 0.01
    alone = lambda method: agreement.figures(CASES, batch_size=50, hypotheses=(method,))["hypotheses"][method]["p"]
    assert alone("honest") <= found["p"] and alone("(trivial) random") == 1.0
    gains = [agreement.gains_of(c) for c in CASES]
    random = np.random.default_rng(1)
    guesses = [{f"guess {n}": (random.normal(size=3), None) for n in range(30)} for _ in CASES]
    assert agreement.luck(list(guesses[0]), guesses, gains)["p"] > 0.05


def test_p_of_many_readings_is_corrected_as_holm_does():
    """Holm (Scandinavian Journal of Statistics, 1979): the least of three times 3, the next times 2, never falling."""
    found = agreement.holm(
        {name: {"over_random_loss": 0.0, "p": p} for name, p in (("a", 0.04), ("b", 0.01), ("c", 0.03))}
    )
    assert {name: one["corrected"] for name, one in found.items()} == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert list(found) == ["a", "b", "c"] and found["b"]["p"] == 0.01


def test_cases_in_which_everything_gains_say_nothing_about_stages():
    """Two stages grow where all gain the same, none where none gains: right across the cases, blind within them."""
    gains = [{"loss": np.full(3, gain), "accuracy": np.zeros(3), "macs": np.ones(3)} for gain in (0.3, 0.3, 0.0, 0.0)]
    evidence = [(np.array(values), np.zeros(3)) for values in ([1, 1, -1], [1, 1, -1], [-1, -1, -1], [-1, -1, -1])]
    found = agreement.growing(evidence, gains, margin=0.0)
    assert found["difference"]["mean"] == pytest.approx(0.3 - 0.6 / 8)
    assert found["difference_within"]["mean"] == pytest.approx(0)


def test_ties_are_a_draw():
    gains = agreement.gains_of(CASES[0])
    found = agreement.ranking([np.array([1.0, 1.0, 0.0])], [gains])
    assert found["top1"]["mean"] == 0.5 and found["regret_loss"]["mean"] == pytest.approx(0.1)
