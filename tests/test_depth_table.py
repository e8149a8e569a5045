"""benchmarks/depth_table.py against values worked out by hand, from a table made up for it and from NAS-Bench-Macro."""

import json
import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import depth_table


@pytest.fixture
def table(tmp_path):
    """Two stages of at most two and three blocks; a block costs 1 million MACs in the first stage, 2 in the second."""
    accuracies = {"1,1": 50, "2,1": 53, "1,2": 58, "2,2": 60, "1,3": 59, "2,3": 58.5}
    macs = lambda name: sum(cost * depth for cost, depth in zip((1_000_000, 2_000_000), map(int, name.split(","))))
    path = tmp_path / "table.json"
    path.write_text(
        json.dumps(
            {name: {"test_accuracy": [value - 1, value + 1], "macs": macs(name)} for name, value in accuracies.items()}
        )
    )
    return depth_table.load(path)


def test_the_table_is_means(table):
    assert table[(1, 2)] == (58, 5_000_000) and depth_table.limits(table) == (2, 3)


def test_regret_and_ranks(table):
    expected = {(1, 1): (0, 6, (1, 1)), (2, 1): (0, 5, (1, 2)), (1, 2): (0, 4, (1, 3)), (2, 3): (1.5, 3, (3, 6))}
    for depths, (regret, rank, at_cost) in expected.items():
        assert depth_table.regret(table, depths) == regret
        assert (depth_table.rank(table, depths), depth_table.rank_at_cost(table, depths)) == (rank, at_cost)


def test_paths(table):
    assert depth_table.gains(table, (1, 1)) == {0: 3, 1: 4} and depth_table.gains(table, (2, 3)) == {}
    assert depth_table.greedy_path(table, (1, 1), 2) == ((1, 1), (1, 2), (2, 2))
    assert depth_table.greedy_path(table, (1, 1), 9)[-1] == (2, 3)  # -0.75 is still the best that is left
    assert depth_table.uniform_path(table, (1, 1), 3) == ((1, 1), (2, 1), (2, 2), (2, 3))
    assert depth_table.random_paths(table, (1, 1), 2) == {
        ((1, 1), (2, 1), (2, 2)): 1 / 2,  # the first stage is full after one step
        ((1, 1), (1, 2), (2, 2)): 1 / 4,
        ((1, 1), (1, 2), (1, 3)): 1 / 4,
    }


def test_judging_a_search(table):
    judged = depth_table.judge(table, ((1, 1), (2, 1), (2, 2), (2, 3)))
    assert (judged["depths"], judged["accuracy"], judged["regret"], judged["rank"]) == ([2, 3], 58.5, 1.5, 3)
    assert judged["mean_regret"] == (0 + 0 + 1.5) / 3
    assert judged["agreement"] == 0  # the two steps from (2, 1) on are no choice
    assert [decision["best"] for decision in judged["decisions"]] == [1, 1, 1]
    ended = depth_table.judge(table, ((1, 1), (1, 2), (1, 2)))
    assert ended["agreement"] == 0.5 and ended["decisions"][1]["picked"] is None and ended["depths"] == [1, 2]


def test_a_rule_that_is_always_right_is_told_from_chance():
    """Accuracy with falling returns in each stage: the shallowest gains most, the last stage is nothing special."""
    depths = [(a, b, c) for a in range(1, 4) for b in range(1, 4) for c in range(1, 4)]
    falling = {d: depth_table.Entry(sum(100 - 2.0**-n for n in d), 10**6 * sum(d)) for d in depths}
    right = depth_table.against_chance(falling, depth_table.RULES["shallowest stage"])
    assert right["choices"] == 20  # of 27 networks 1 can grow nowhere and 6 in one stage alone
    assert right["over_random"] > 0 and right["p"] < 0.001
    other = depth_table.against_chance(falling, depth_table.RULES["last stage"])
    assert other["over_random"] == pytest.approx(0, abs=1e-12) and other["p"] > 0.3
    nothing = depth_table.against_chance(falling, lambda depths, stage: 0)
    assert nothing["top1"] == pytest.approx(nothing["chance"]) and nothing["p"] == 1


def test_nas_bench_macro(nas_bench_macro):
    """Means and gains worked out from the file by hand: 3.69 points for 6.51 million MACs are the most from (1, 1, 1)."""
    table = depth_table.load(nas_bench_macro / "mb3_k3.json")
    assert table[(1, 1, 1)].accuracy == pytest.approx(85.6967, abs=1e-4)
    assert depth_table.limits(table) == (2, 3, 3)
    gains = depth_table.gains(table, (1, 1, 1))
    assert list(gains.values()) == pytest.approx([3.5167 / 6.733824, 3.6867 / 6.51264, 3.3 / 6.402048], abs=1e-4)
    assert depth_table.greedy_path(table, (1, 1, 1), 2)[1:] == ((1, 2, 1), (1, 2, 2))
    assert depth_table.regret(table, (2, 3, 3)) == 0 and depth_table.rank(table, (2, 3, 3)) == 1
    # (1, 2, 3), 40.00 million: 91.0067 %, the best of the ten that cost no more; the next is (1, 2, 2), 90.7467 %.
    assert depth_table.rank_at_cost(table, (1, 2, 3)) == (1, 10)
    # (2, 3, 1), 40.44 million: 91.4700 %, behind (2, 2, 2), 40.33 million, of 91.7500 %.
    assert depth_table.regret(table, (2, 3, 1)) == pytest.approx(0.28, abs=1e-4)
    paths = depth_table.random_paths(table, (1, 1, 1), 3)
    assert sum(paths.values()) == pytest.approx(1) and {path[-1] for path in paths} == {
        (2, 2, 2),
        (2, 3, 1),
        (2, 1, 3),
        (1, 3, 2),
        (1, 2, 3),
    }
