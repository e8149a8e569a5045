"""jaxstage/comparison/table.py: means, intervals and paired differences, against scipy and by hand."""

import pytest
import scipy.stats

from jaxstage.comparison import table
from jaxstage.report.html.collect import Run
from jaxstage.workdir.record import Candidate, Record


def outcome(seed, accuracy, search=0.0, final=100.0):
    return table.Outcome(seed, (1, 2), 20_000, 300, 4, accuracy, accuracy - 0.1, search, final, 1.0, f"w/{seed}")


FIRST = [outcome(0, 0.8, search=300.0), outcome(1, 0.9, search=100.0), outcome(2, 0.7, search=200.0)]
OTHER = [outcome(0, 0.7, final=420.0), outcome(1, 0.9, final=190.0), outcome(2, 0.5, final=300.0)]


def test_the_interval_is_that_of_the_t_test():
    values = [0.8, 0.9, 0.7, 0.75]
    found = table.interval(values)
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found["low"], found["high"], found["n"]) == (pytest.approx(low), pytest.approx(high), 4)
    by_hand = 4.302653 * 0.1 / 3**0.5  # t of 2 degrees of freedom, deviation 0.1
    assert table.interval([0.8, 0.9, 0.7])["high"] == pytest.approx(0.8 + by_hand, abs=1e-6)
    assert table.interval([0.5, 0.5]) == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 2}
    assert table.interval([0.5]) == {"mean": 0.5, "low": None, "high": None, "n": 1}


def test_a_row_pairs_the_seeds():
    row = table.row("last", OTHER, FIRST)
    low, high = scipy.stats.ttest_rel([0.8, 0.9, 0.7], [0.7, 0.9, 0.5]).confidence_interval(0.95)
    difference = row["first_minus_this"]
    assert (difference["mean"], difference["low"], difference["high"]) == pytest.approx((0.1, low, high))
    assert row["work_to_first"]["mean"] == pytest.approx((420 / 400 + 190 / 200 + 300 / 300) / 3)
    assert row["search_to_final_work"]["mean"] == 0
    assert [one["workdir"] for one in row["seeds"]] == ["w/0", "w/1", "w/2"]
    first = table.row("elastic", FIRST, FIRST)
    assert first["first_minus_this"] is None and first["search_to_final_work"]["mean"] == 2


def test_people_read_percents_with_intervals():
    head, lines = table.readable([table.row("elastic", FIRST, FIRST), table.row("last", OTHER, FIRST)])
    assert "elastic minus this" in head and all(len(line) == len(head) for line in lines)
    assert lines[1] == (
        "last",
        "(1, 2)\n(1, 2)\n(1, 2)",
        "20 k",
        "300",
        "1",
        "0",
        "70.0 [20.3, 119.7]",
        "+10.0 [-14.8, +34.8]",
        "never",
    )
    assert lines[0][-2] == lines[0][-1] == ""


def test_the_verdict_goes_by_the_intervals():
    row = lambda arm, *points: table.row(arm, [outcome(seed, 0.8 - p / 100) for seed, p in enumerate(points)], same)
    same = [outcome(seed, 0.8) for seed in range(3)]
    others = [row("last, from scratch", 1.9, 2, 2.1), row("uniform", -1, -1, -1), row("random", -1, 0, 1)]
    assert table.verdict([table.row("elastic", same, same), *others]) == (
        "elastic is right for 80.00% of the test images, as the mean of 3 seeds. At about equal work that is better than "
        "last from scratch by 2.0 points [1.8, 2.2]; worse than uniform by 1.0 points [1.0, 1.0]; not shown to differ "
        "from random."
    )
    (one,), (other,) = same[:1], [outcome(0, 0.75)]
    told = table.verdict([table.row("elastic", [one], [one]), table.row("last", [other], [one])])
    assert (
        told
        == "elastic is right for 80.00% of the test images; at about equal work: last 75.00%. One seed may be luck."
    )


def test_what_another_arm_comes_to_is_reached_on_the_way():
    on_the_way = [one._replace(progress=((50.0, 0.3), (100.0, 0.85), (150.0, 0.2))) for one in FIRST]
    row = table.row("last", OTHER, on_the_way)  # which end at validation accuracies of 0.6, 0.8 and 0.4
    assert row["reached_at"]["mean"] == pytest.approx((100 / 420 + 100 / 190 + 100 / 300) / 3)
    assert table.readable([table.row("elastic", on_the_way, on_the_way), row])[1][1][-1] == "0.37"
    assert table.row("last", OTHER, FIRST)["reached_at"] is None


def test_progress_counts_the_work_of_all_that_went_before():
    candidate = lambda name, role, **fields: Candidate(name, role, (1, 2), None, parameters=1, macs=1, **fields)
    candidates = (
        candidate("start", "start", validation={"accuracy": 0.6}),
        candidate("net", "elastic", steps=10, work={"training": 80.0, "importance": 20.0}),
        candidate("chosen", "chosen", validation={"accuracy": 0.7}),
        candidate("final", "final", steps=10, work={"training": 200.0}),
    )
    line = lambda step, accuracy: {"step": step, "accuracy": accuracy}
    curves = {
        "net": {"validation": [line(5, 0.4), line(10, 0.5)], "train": [line(1, 0.9)]},
        "final": {"validation": [line(5, 0.65), line(10, 0.8)]},
    }
    run = Run("run", "w", {"batch_size": 2}, Record(candidates), curves=curves)
    assert table.progress(run) == ((40, 0.4), (80, 0.5), (100, 0.7), (200, 0.65), (300, 0.8))


def test_one_seed_has_no_interval_and_that_is_said():
    rows = [table.row("elastic", FIRST[:1], FIRST[:1]), table.row("last", OTHER[:1], FIRST[:1])]
    _, lines = table.readable(rows)
    assert lines[1][-3:-1] == ("70.0", "+10.0")
    assert any("one seed: there are no intervals" in note for note in table.notes(rows, jpeg=False))
    assert not any("JPEG" in note for note in table.notes(rows, jpeg=False))
    assert any("JPEG" in note for note in table.notes(rows, jpeg=True))
