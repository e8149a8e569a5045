"""benchmarks/baselines.py, inheritance.py and what they are made of: the right networks are trained, each once."""

import pathlib
import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))  # for this process and the ones that the grids start
import baselines
import inheritance
import rivals
import runs

from jaxstage.cost import Cost, count
from jaxstage.models import resnet


def pretended(workdir: pathlib.Path, config: str, changes: dict) -> dict:
    """In the place of `runs.measure`: a search ends at (1, 2), and accuracies follow from depths and seed."""
    with (workdir / "runs.txt").open("a") as file:
        file.write("x")
    searches = changes.get("task") != "train"
    depths = (1, 2) if searches else changes["model.depths"]
    accuracy = 0.5 + 0.05 * sum(depths) + 0.1 * searches + 0.01 * changes["seed"]
    cost = {"depths": list(depths), "parameters": 10, "macs": 100}
    grown = {
        "name": "r01_probe",
        "role": "probe",
        "scores": searches,
        "steps": 2,
        "validation": {"accuracy": 0.4, "loss": 2.0},
    }
    final = {
        "name": "final",
        "role": "final",
        "scores": False,
        "steps": 2,
        "validation": {"accuracy": 0.6, "loss": 1.0},
    }
    candidates = [{**cost, **c} for c in ([grown] if searches else []) + [final]]
    return {**cost, "test_accuracy": accuracy, "seconds": 1.0, "candidates": candidates}


def pretended_growth(*given) -> dict:
    """The same where every way grows to (3, 3)."""
    return {**pretended(*given), "depths": [3, 3]}


@pytest.fixture
def pretending(monkeypatch):
    monkeypatch.setattr(runs, "measure", pretended)


def test_found_depths_meet_rivals_of_equal_cost(tmp_path, pretending):
    preset = baselines.PRESETS["toy"]._replace(seeds=2)
    settings, results = baselines.compare(preset, tmp_path, jobs=1)
    rows = {(row["kind"], row["name"], row["budget"]): row for row in results["digits"]}
    assert {key[1:] for key in rows if key[0] == "scratch"} == {
        ("found", None),
        *(
            (name, budget)
            for name in ("uniform", "random", "stage 1 alone", "stage 2 alone")
            for budget in ("macs", "parameters")
        ),
    }
    depths = lambda *key: [seed["depths"] for seed in rows[key]["seeds"]]
    assert depths("scratch", "found", None) == depths("scratch", "stage 2 alone", "macs") == [[1, 2], [1, 2]]
    assert depths("scratch", "stage 1 alone", "macs") == [[2, 1], [2, 1]]
    trained = sorted(path.parent.name for path in tmp_path.glob("digits/seed0/*/runs.txt"))
    assert {"lowest-score", "random", "depths-1-2", "depths-2-1"} <= set(trained)
    assert all(path.read_text() == "x" for path in tmp_path.rglob("runs.txt"))
    # A network from scratch is compared with the found depths from scratch, a search with the default one.
    assert rows["scratch", "stage 1 alone", "macs"]["reference_minus_this"]["mean"] == pytest.approx(0)
    assert rows["search", "lowest score", None]["reference_minus_this"]["mean"] == 0
    assert rows["search", "lowest score", None]["accuracy"]["mean"] == pytest.approx(0.755)
    # 3 passes in 2 steps of 64 images, and the 5 passes over 32 calibration images that 2 stages take.
    assert rows["search", "lowest score", None]["search_per_final"]["mean"] == pytest.approx((384 + 160) / 384)
    assert rows["search", "random", None]["search_per_final"]["mean"] == 1
    assert settings["data"]["digits"]["training_images"] == 180 and not settings["data"]["digits"]["jpeg"]


def test_a_search_really_runs(tmp_path, compilation_cache):
    config, changes, *_ = baselines.PRESETS["toy"].studies["digits"]
    changes = {**changes, "importance.method": "uniform", "compilation_cache": str(compilation_cache)}
    result = runs.measure(tmp_path, config, changes)
    assert result["depths"] == [2, 2] and 0 <= result["test_accuracy"] <= 1
    assert [candidate["role"] for candidate in result["candidates"]] == ["start", "probe", "final"]
    assert [candidate["scores"] for candidate in result["candidates"]] == [True, True, False]
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_search_without_probes_really_runs(tmp_path, compilation_cache):
    config, changes, *_ = baselines.PRESETS["toy"].studies["digits"]
    changes = {**changes, "growth.rule": "lowest_score", "importance.method": "uniform", "model.depths": (1, 3)}
    result = runs.measure(tmp_path, config, {**changes, "compilation_cache": str(compilation_cache)})
    assert [candidate["role"] for candidate in result["candidates"]] == ["start", "grown", "final"]
    assert result["depths"] == [2, 3]
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<th scope="col">shortfall</th>' in page
    assert "shortfall above 1 standard error" in page and "no shortfall above 0" in page


def test_inheritances_have_to_grow_alike(tmp_path, pretending):
    with pytest.raises(RuntimeError, match=r"not all ways led to the same depths: \[\(1, 2\), \(3, 3\)\]"):
        inheritance.compare(inheritance.PRESETS["toy"], tmp_path, jobs=1)


def test_inheritances_have_equal_costs(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "measure", pretended_growth)
    preset = inheritance.PRESETS["toy"]
    preset = preset._replace(changes={**preset.changes, "candidate.epochs": 4, "final.epochs": 10}, epochs=(1, 7))
    _, rows = inheritance.compare(preset, tmp_path, jobs=1)
    grown = [
        (method, rate, 4) for rate in ("constant", "cosine") for method in ("identity", "gauss", "copy", "scratch")
    ]
    others = [("identity", "constant", 1), ("identity", "constant", 7), (None, None, 0)]
    assert [(row["method"], row["schedule"], row["epochs"]) for row in rows] == [*grown, *others]
    macs = [count(resnet((n, n), num_classes=10, widths=(4, 8)), (8, 8, 1)).macs for n in (1, 2, 3)]
    total = 10 + 4 * sum(macs) / macs[2]
    for row in rows:
        assert row["epochs"] * sum(macs) / macs[2] + row["final_epochs"] == pytest.approx(total, abs=0.5)
    assert {row["final_epochs"] for row in rows[:8]} == {10} and rows[8]["final_epochs"] > 10 > rows[9]["final_epochs"]
    assert rows[-1]["after_growth"] is None and rows[0]["after_growth"]["mean"] == 0.4


def test_costs_of_depths_add_up():
    counted = lambda depths: count(resnet(depths, num_classes=10, widths=(4, 8, 16)))
    assert rivals.additive_cost((1, 2, 1), counted)((3, 4, 2)) == counted((3, 4, 2))


def test_paths_grow_as_their_names_say():
    paths = rivals.paths((1, 1, 1), step=2, deepest=6, seed=3)
    assert paths["uniform"][:5] == [(1, 1, 1), (3, 1, 1), (3, 3, 1), (3, 3, 3), (5, 3, 3)]
    assert paths["stage 2 alone"] == [(1, 1, 1), (1, 3, 1), (1, 5, 1)]
    assert paths["random"][-1] == paths["uniform"][-1] == (5, 5, 5)
    assert paths["random"] != rivals.paths((1, 1, 1), 2, 6, seed=4)["random"]


def test_nearest_by_ratio_whether_above_or_below():
    cost_of = lambda depths: Cost(100 * sum(depths), 0, 10 * depths[0])
    path = [(1, 1), (2, 1), (4, 1)]
    assert rivals.nearest(path, Cost(0, 0, 29), "macs", cost_of) == (4, 1)
    assert rivals.nearest(path, Cost(380, 0, 0), "parameters", cost_of) == (2, 1)


def test_resnets_are_the_published_ones():
    """He et al. (CVPR 2016), table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 million; our shortcuts have 2,752 weights more."""
    published = {"ResNet-20": 0.27, "ResNet-32": 0.46, "ResNet-44": 0.66, "ResNet-56": 0.85, "ResNet-110": 1.7}
    cost_of = rivals.additive_cost((1, 1, 1), lambda depths: count(resnet(depths, num_classes=10, shortcut_norm=False)))
    for name, depth in rivals.RESNETS.items():
        digits = 1 if depth == 18 else 2
        assert round((cost_of((depth,) * 3).trainable_parameters - 2752) / 1e6, digits) == published[name]
