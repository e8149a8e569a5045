"""studies/inheritance.py: all ways cost the same and end at the same depths."""

import pytest

from jaxstage.cost import count
from jaxstage.models import resnet
from studies import inheritance

CHANGES = {
    "data.examples": 200,
    "model.widths": (4, 8),
    "model.depths": (1, 1),
    "candidate.epochs": 4,
    "final.epochs": 10,
    "importance.examples": 32,
}


def test_ways_have_equal_costs():
    macs = [count(resnet((n, n), num_classes=10, widths=(4, 8)), (8, 8, 1)).macs for n in (1, 2, 3)]
    total = 10 + 4 * sum(macs) / macs[2]
    final = []
    for way in inheritance.ways(4, others=(1, 7)):
        changed = inheritance.changes_of("digits", CHANGES, way)
        assert way.epochs * sum(macs) / macs[2] + changed["final.epochs"] == pytest.approx(total, abs=0.5)
        final.append(changed["final.epochs"])
    assert set(final[:8]) == {10} and final[8] > 10 > final[9]
    assert changed["task"] == "train" and changed["model.depths"] == (3, 3)


def test_a_way_is_really_walked(tmp_path, compilation_cache):
    changes = {**CHANGES, "candidate.epochs": 1, "final.epochs": 1, "compilation_cache": str(compilation_cache)}
    way = inheritance.Way("copy", "cosine", 1)
    assert way.name == "copy (cosine), 1 epoch"
    found = inheritance.walk("digits", changes, way, 0, tmp_path / "run")
    assert list(found["depths"]) == [3, 3] and 0 <= found["test_accuracy"] <= 1 and found["final_epochs"] == 1


def test_ways_to_other_depths_are_not_compared():
    cell = lambda accuracy, *depths: {"depths": depths, "test_accuracy": accuracy, "final_epochs": 8}
    found = {"a, seed 0": cell(0.5, 3, 3), "a, seed 1": cell(0.6, 3, 3), "b, seed 0": cell(0.3, 3, 3)}
    summary = inheritance.summarise(found | {"b, seed 1": cell(0.4, 3, 3)})
    assert summary["b"]["first_minus_this"]["mean"] == pytest.approx(0.2)
    assert "| b | 8 |" in inheritance.verdict(summary) and "| better, +20.0" in inheritance.verdict(summary)
    with pytest.raises(ValueError, match=r"not all ways led to the same depths: \[\(1, 2\), \(3, 3\)\]"):
        inheritance.summarise(found | {"b, seed 1": cell(0.4, 1, 2)})
