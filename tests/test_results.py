"""benchmarks/results.py: words follow from numbers, and the page in docs/ is what the committed summaries give."""

import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import opening
import results
import sections
import summary
import wording


def between(low, high):
    return {"mean": (low + high) / 2, "low": low, "high": high, "n": 3}


@pytest.mark.parametrize(
    "difference, outcome, sentence",
    [
        (between(0.01, 0.03), "better", "A is **better** than B, outside the interval: +2.0 points [+1.0, +3.0]."),
        (between(-0.03, -0.01), "worse", "A is **worse** than B, outside the interval: -2.0 points [-3.0, -1.0]."),
        (between(-0.01, 0.03), "tie", "A and B **tie**: +1.0 points [-1.0, +3.0]."),
        (between(0.0, 0.02), "tie", "A and B **tie**: +1.0 points [+0.0, +2.0]."),
        (between(0.0, 0.0), "same", "A and B are **the same** in every seed."),
        (summary.interval([0.2]), "unknown", "Of A and B one seed tells nothing: +20.0 points."),
    ],
)
def test_verdicts(difference, outcome, sentence):
    assert wording.outcome(difference) == outcome
    assert wording.verdict("A", "B", difference) == sentence


def test_standings():
    differences = {"a": between(1, 2), "b": between(-2, 1), "c": between(1, 3), "d": between(3, 4)}
    assert wording.standings(differences, {"better": "beats", "tie": "ties", "worse": "loses to"}) == (
        "beats a, c and d; ties b"
    )


def test_numbers():
    assert wording.percent(between(0.411, 0.433)) == "42.2 [41.1, 43.3]"
    assert wording.number(summary.interval([1234.5]), 1) == "1,234.5"
    assert wording.number(None) == "-"


def test_a_search_that_loses_is_said_to_lose(tmp_path):
    seeds = lambda *accuracies: [{"depths": [1, 2], "test_accuracy": accuracy} for accuracy in accuracies]

    def row(kind, name, budget, accuracies, reference):
        return {
            "kind": kind,
            "name": name,
            "budget": budget,
            "accuracy": summary.interval(accuracies),
            "reference_minus_this": summary.interval([a - b for a, b in zip(reference, accuracies)]),
            "macs": summary.interval([50 if (kind, name) == ("search", "random") else 100] * 3),
            "parameters": summary.interval([10] * 3),
            "seeds": seeds(*accuracies),
            "search_cost": between(1, 1.5) if name == "random" else between(2, 3),
            "search_per_final": between(2, 3),
            "networks_trained": between(4, 4),
        }

    found, uniform, random = [0.50, 0.51, 0.52], [0.60, 0.61, 0.63], [0.50, 0.52, 0.51]
    rows = [
        row("search", "default", None, found, found),
        row("search", "random", None, uniform, found),
        row("scratch", "found", None, found, found),
        row("scratch", "uniform", "macs", uniform, found),
        row("scratch", "random", "macs", random, found),
    ]
    described = {
        "config": "configs/cifar10.py",
        "training_images": 9,
        "widths": [4],
        "jpeg": True,
        "epochs": {"candidate": 1, "final": 2},
    }
    data = {"settings": {"seeds": 3, "deepest": 9, "data": {"cifar10": described}}, "results": {"cifar10": rows}}
    section = sections.baselines(data, "results/x")
    said = "\n".join(section.conclusions)
    assert "the found network is **worse** than uniform growth at equal MACs, outside the interval: -10.3" in said
    assert "the found ones are in a tie with random (equal MACs); worse than uniform (equal MACs)." in said
    assert (
        "the default one is worse than random. Not at equal cost: MACs against" in said
        and said.count("random 50%.") == 2
    )
    assert "nothing shows" not in said
    assert "lossy" in section.text
    for name, draw in section.plots.items():
        draw(tmp_path / name)
        first = (tmp_path / name).read_bytes()
        draw(tmp_path / name)
        assert (tmp_path / name).read_bytes() == first and b"<svg" in first


def test_methods_are_compared_with_random_growth():
    figures = ("accuracy", "regret", "mean_regret", "rank", "rank_at_cost", "agreement")
    method = lambda low, high: {figure: between(low, high) for figure in figures}
    bound = dict.fromkeys(figures, 0.5)
    data = {
        "settings": {"seeds": 3},
        "results": {
            "methods": {"good": method(0.6, 0.8), "none": method(0.4, 0.8), "bad": method(0.1, 0.3)},
            "bounds": {"greedy": bound, "random": bound},
            "rules": {"last stage": {"choices": 12, "top1": 0.5, "chance": 0.4, "over_random": 0.02, "p": 0.2}},
        },
    }
    good, none, bad, rule = sections.nas_bench_macro(data, "results/x").conclusions
    assert "good picks the best stage in 0.70 [0.60, 0.80] of its decisions, above what random growth does" in good
    assert "no different from random growth within the interval (0.50)" in none
    assert "below what random growth does, outside the interval" in bad
    assert (
        "growing the last stage first picks stages that gain no more, within chance, than random ones (p = 0.200)"
        in rule
    )


def test_importance_that_names_no_better_stages_is_said_not_to():
    row = lambda low, high: {
        **{name: between(0, 1) for name in ("top1", "spearman", "regret_loss", "regret_accuracy")},
        "over_random_loss": between(low, high),
        "steps": 1.0,
    }
    ranking = {
        "perturbation sigma=0.05 K=8 n=512, relative rise": row(-0.1, 0.2),
        "pls_vip, relative rise": row(-0.3, -0.1),
        "ablation, relative rise": row(0.1, 0.2),
        "perturbation sigma=0.1 K=8 n=512, level": row(0.1, 0.2),
        "(trivial) random": row(0, 0),
        "(trivial) last stage": row(0.3, 0.4),
    }
    figures = {
        "cases": 9,
        "best_is_best_per_mac": 9,
        "gain": {"loss": between(0, 1), "accuracy": between(0, 1)},
        "ranking": ranking,
        "repeatable": {"f": 1.5, "p": 0.2},
        "luck": {"methods": 4, "best": "ablation, relative rise", "p": 0.6},
        "hypotheses": {
            "ablation, relative rise": {"over_random_loss": 0.15, "p": 0.02, "corrected": 0.04},
            "(trivial) last stage": {"over_random_loss": -0.1, "p": 0.9, "corrected": 0.9},
        },
        "growing": {
            "ablation > 1 errors": {
                "grown": between(0, 1),
                "right": between(0, 1),
                "difference": None,
                "difference_within": None,
            }
        },
    }
    study = {"config": "configs/cifar10.py:smoke", "changes": {}, "starts": [[1, 1]], "seeds": [3, 4]}
    section = sections.fidelity(
        {"settings": {"studies": {"cifar10": study}}, "results": {"figures": {"cifar10": figures}}}, "results/x"
    )
    measured, trivial, luck, hypotheses = section.conclusions
    assert "more than a random one by ablation, relative rise; as much as a random one, within the inter" in measured
    assert measured.endswith("n=512, relative rise; less than a random one by pls_vip, relative rise.")
    assert trivial.endswith("more than a random one by (trivial) last stage.")
    assert "do not agree" in luck and luck.endswith("p = 0.600: no method can be called better than a random choice.")
    assert "ablation, relative rise +0.1500 (p = 0.040), better than chance; (trivial) last stage -0.1000" in hypotheses
    assert hypotheses.endswith("(p = 0.900), not shown to be better than chance.")
    assert "seeds 3, 4; 9 cases" in section.text
    assert section.text.index("K=8 n=512, level") > section.text.index("<details>")


def test_the_page_is_what_the_summaries_give():
    page, drawn = results.render(summary.RESULTS, opening.STUDIES)
    assert results.PAGE.read_text() == page, "run python benchmarks/results.py"
    for name in drawn:
        assert (results.PAGE.parent / name).exists()


def test_what_is_missing_is_said(tmp_path):
    page, drawn = results.render(tmp_path, tmp_path)
    assert "Not run yet: `python benchmarks/results.py --run --preset=gpu`" in page and not drawn
