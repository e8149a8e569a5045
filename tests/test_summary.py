"""benchmarks/summary.py: intervals against published values, and files that say where they come from."""

import json
import sys

import numpy as np
import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import summary


def test_interval_of_a_published_example():
    """NIST's "e-Handbook of Statistical Methods", 1.3.5.2: 195 values of mean 9.261460 and deviation 0.022789."""
    values = np.random.default_rng(0).standard_normal(195)
    values = (values - values.mean()) / values.std(ddof=1) * 0.022789 + 9.261460
    found = summary.interval(values)
    assert found["n"] == 195
    assert [found["low"], found["mean"], found["high"]] == pytest.approx([9.258242, 9.261460, 9.264679], abs=2e-6)


def test_interval_of_one_value():
    assert summary.interval([0.5]) == {"mean": 0.5, "low": None, "high": None, "n": 1}


def test_share_where_its_interval_is_known():
    """Where none or all of n are right the exact interval ends at 1 - (a/2)^(1/n) and begins at (a/2)^(1/n)."""
    none, every = summary.share(0, 10), summary.share(10, 10)
    assert [none["low"], none["mean"], none["high"]] == pytest.approx([0, 0, 1 - 0.025**0.1])
    assert [every["low"], every["mean"], every["high"]] == pytest.approx([0.025**0.1, 1, 1])
    assert summary.share(0, 0) is None


def test_bootstrap_of_a_mean_is_close_to_the_interval_of_many_values():
    values = np.random.default_rng(1).standard_normal(2000)
    drawn, exact = summary.bootstrap(values, resamples=2000), summary.interval(values)
    assert drawn["mean"] == exact["mean"]
    assert [drawn["low"], drawn["high"]] == pytest.approx([exact["low"], exact["high"]], abs=0.004)


def test_summary_names_its_command_and_machine(tmp_path):
    path = tmp_path / "fidelity" / "tiny.json"
    summary.write(path, "tiny", {"seeds": 3}, [{"regret": summary.interval([1, 2, 3])}])
    written = json.loads(path.read_text())
    assert written["command"] == "python benchmarks/fidelity.py --preset=tiny"
    assert written["settings"] == {"seeds": 3} and written["results"][0]["regret"]["mean"] == 2
    assert written["machine"]["versions"].keys() == {"jax", "flax", "optax", "jaxstage"}
    assert written["machine"]["cpu"] and written["machine"]["cores"] >= 1 and written["machine"]["gpu"] is None
    assert [file.name for file in path.parent.iterdir()] == ["tiny.json"]
