"""The study of elastic networks of NAS-Bench-Macro's blocks, on something small: its figures are not looked at."""

import json

import pytest

from jaxstage import cost
from jaxstage.config import load
from jaxstage.data import load_train
from jaxstage.models.layers import batch_norm, convolution
from studies import macro

LAYERS = convolution("float32", "xla"), batch_norm("float32", 1e-5, 0.9, None)


def test_the_networks_are_those_of_the_benchmark(nas_bench_macro):
    """Parameters and MACs of published networks, one of them of two block types."""
    folder = nas_bench_macro.parent / "depth_tables"
    if not folder.exists():
        pytest.skip("../shared/depth_tables, the published tables, is not here")
    for name in ("nbm_111_111", "nbm_212_222"):
        table = json.loads((folder / f"{name}.json").read_text())
        first, later = macro.blocks(table["first_block"]), macro.blocks(table["later_blocks"])
        rows = {tuple(row["depths"]): row for row in table["rows"]}
        for depths in ((1, 1, 1), (2, 3, 3), (1, 3, 2)):
            counted = cost.count(macro.Macro(depths, first, later, *LAYERS), (32, 32, 3))
            assert (counted.trainable_parameters, counted.macs) == (rows[depths]["parameters"], rows[depths]["macs"])


def test_a_study_of_a_small_table(tmp_path, monkeypatch):
    monkeypatch.setattr(macro, "WIDTHS", (4, 6))
    monkeypatch.setattr(macro, "HEAD_WIDTH", 8)
    rows = [
        {"depths": [a, b], "accuracy": 50 + a + 2 * b, "macs": 3 * a + b, "parameters": a + b}
        for a in (1, 2)
        for b in (1, 2)
    ]
    table = {"first_block": ["MB3_K3", "MB3_K3"], "later_blocks": ["MB3_K3", "MB2_K5"], "rows": rows}
    (tmp_path / "small.json").write_text(json.dumps(table))
    config = load("cifar10_mobilenet", {"data.name": "digits", "data.validation": 0.2})
    config.data.examples = 400
    told, kept = [], []
    keep = lambda found: kept.append(len(found["elastic"]))
    found = macro.study(tmp_path / "small.json", load_train(config.data, 0), config, [1, 2], told.append, keep)
    assert kept == [1, 2]
    assert [one["epochs"] for one in found["elastic"]] == [1, 2] and len(told) == 3
    for one in found["elastic"]:
        assert len(one["losses"]) == 4 and len(one["importance"]) == 2 and one["regret"] >= 0
        assert -1 <= one["tau_loss"] <= 1
    assert (
        found["tau"]["macs"] == pytest.approx(2 / 3) and found["regret"]["last stage"] <= found["regret"]["first stage"]
    )
