"""studies/tables.py and study.py: words follow from numbers, intervals are right, and files say where they come from."""

import json

import numpy as np
import pytest

from jaxstage.comparison.table import interval
from studies import tables
from studies.study import measure


def between(low, high):
    return {"mean": (low + high) / 2, "low": low, "high": high, "n": 3}


@pytest.mark.parametrize(
    "advantage, told",
    [
        (between(0.01, 0.03), "better, +2.0 [1.0, 3.0]"),
        (between(-0.03, -0.01), "worse, -2.0 [-3.0, -1.0]"),
        (between(-0.01, 0.03), "tie, +1.0 [-1.0, 3.0]"),
        (between(0.0, 0.02), "tie, +1.0 [0.0, 2.0]"),
        (between(0.0, 0.0), "same, 0.0"),
        (interval([0.2]), "one alone, +20.0"),
        (interval([-0.0001]), "one alone, 0.0"),
        (None, ""),
    ],
)
def test_verdicts(advantage, told):
    assert tables.verdict(advantage, 1, 100) == told


def test_numbers():
    assert tables.percent(between(0.411, 0.433)) == "42.2 [41.1, 43.3]"
    assert tables.number(interval([1234.5]), 1) == "1,234.5"
    assert tables.number(None) == "-"


def test_interval_of_a_published_example():
    """NIST's "e-Handbook of Statistical Methods", 1.3.5.2: 195 values of mean 9.261460 and deviation 0.022789."""
    values = np.random.default_rng(0).standard_normal(195)
    values = (values - values.mean()) / values.std(ddof=1) * 0.022789 + 9.261460
    found = interval(values)
    assert found["n"] == 195
    assert [found["low"], found["mean"], found["high"]] == pytest.approx([9.258242, 9.261460, 9.264679], abs=2e-6)


def test_bootstrap_of_a_mean_is_close_to_the_interval_of_many_values():
    values = np.random.default_rng(1).standard_normal(2000)
    drawn, exact = tables.bootstrap(values), interval(values)
    assert drawn["mean"] == pytest.approx(exact["mean"])
    assert [drawn["low"], drawn["high"]] == pytest.approx([exact["low"], exact["high"]], abs=0.004)


def test_cells_that_are_kept_are_not_measured_again(tmp_path):
    out, measured = tmp_path / "results" / "one.json", []

    def cell(name):
        measured.append(name)
        if name == "bad" and measured.count("bad") < 2:
            raise RuntimeError("the first time goes wrong")
        return {"length": len(name)}

    cells = {name: lambda name=name: cell(name) for name in ("good", "bad", "last")}
    with pytest.raises(RuntimeError):
        measure(out, {"seeds": 3}, cells)
    assert measure(out, {"seeds": 3}, cells) == {name: {"length": len(name)} for name in cells}
    assert measured == ["good", "bad", "bad", "last"]
    written = json.loads(out.read_text())
    assert written["settings"] == {"seeds": 3} and list(written["cells"]) == list(cells)
    assert written["machine"]["cpu"] and written["machine"]["versions"].keys() == {"jax", "flax", "optax", "jaxstage"}
