"""Growth rules, by the scores that they compare, and the limits that they heed."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstage.cost import Cost
from jaxstage.depth_search.limits import grow, obstacles
from jaxstage.depth_search.rules import RULES
from jaxstage.importance import Scores


def rules(**changes):
    defaults = dict(
        step=2,
        rule="relative_rise",
        margin=1.0,
        max_stages=None,
        max_rounds=5,
        max_depth=(),
        max_parameters=None,
        max_macs=None,
        max_latency_ms=None,
    )
    return SimpleNamespace(**(defaults | changes))


def cost_of(depths):
    """A stage's block costs 10, 20, 40, ... parameters, 1,000 MACs and 1.1, 2.1, ... ms."""
    parameters, ms = (sum(d * one(i) for i, d in enumerate(depths)) for one in (lambda i: 10 * 2**i, lambda i: i + 1.1))
    return Cost(parameters, 0, 1000 * sum(depths), latency_ms=round(ms, 4))


def decide(depths, before, after, rules, cost_of):
    return RULES[rules.rule].judge(depths, before, after, rules, cost_of)


def is_clear(before, after, rules):
    return RULES[rules.rule].is_clear(before, after, rules)


def scores(*stages):
    """Three repetitions around each value, the same spread for every call."""
    return Scores(tuple(tuple(value * (1 + spread) for value in stages) for spread in (-0.1, 0, 0.1)))


def grown(decisions):
    return [decision.grows for decision in decisions]


def test_the_papers_rule():
    assert grown(decide((1, 1, 1), scores(1, 2, 3), scores(2, 1, 4), rules(), cost_of)) == [True, False, True]


def test_uniform_importance_with_one_stage_a_round_grows_the_shallowest_first():
    depths = (2, 1, 3)
    for expected in ((2, 3, 3), (4, 3, 3), (4, 5, 3), (4, 5, 5)):
        probe = grow(depths, {0, 1, 2}, rules())
        decisions = decide(depths, Scores((depths,)), Scores((probe,)), rules(max_stages=1), cost_of)
        depths = grow(depths, {stage for stage, decision in enumerate(decisions) if decision.grows}, rules())
        assert depths == expected


def test_a_rise_within_the_noise_does_not_count():
    before, after = Scores(((1.0, 1.0), (1.0, 1.0))), Scores(((1.5, 1.1), (0.7, 1.3)))
    decisions = decide((1, 1), before, after, rules(margin=1.0), cost_of)
    assert grown(decisions) == [False, True]  # 0.1 +- 0.4, 0.2 +- 0.1
    assert "within 1 standard error" in decisions[0].why
    assert grown(decide((1, 1), before, after, rules(margin=0.0), cost_of)) == [True, True]
    assert grown(decide((1, 1), before, after, rules(margin=2.5), cost_of)) == [False, False]


def test_what_falls_short_of_the_mean_grows_without_a_probe():
    lowest = rules(rule="lowest_score", margin=1.0)
    before = Scores(((1.0, 2.0, 6.0), (3.0, 4.0, 8.0)))  # the samples differ, by how much the stages differ does not
    decisions = decide((1, 1, 1), before, None, lowest, cost_of)
    assert grown(decisions) == [True, True, False]
    assert [d.before for d in decisions] == [2, 3, 7] and decisions[0].after is decisions[0].rise is None
    assert [d.why for d in decisions] == ["shortfall above 1 standard error"] * 2 + ["no shortfall above 0"]
    values, errors = RULES["lowest_score"].weigh(before, None)
    assert [(d.evidence, d.evidence_error) for d in decisions] == list(zip(values, errors))
    assert values == pytest.approx([2, 1, -3]) and errors == pytest.approx([0, 0, 0])
    lowest.max_stages = 1
    assert grown(decide((1, 1, 1), before, None, lowest, cost_of)) == [True, False, False]
    noisy = Scores(((1.0, 2.0), (2.5, 2.0)))  # 0.125 +- 0.375 below the mean
    assert decide((1, 1), noisy, None, lowest, cost_of)[0].why == "shortfall within 1 standard error"


def test_what_is_not_a_number_never_grows():
    nothing = Scores(((np.nan,),) * 3)
    for rule in ("relative_rise", "absolute_rise"):
        assert grown(decide((1,), scores(1), nothing, rules(rule=rule, margin=0.0), cost_of)) == [False]


def test_no_rise_at_all_never_grows():
    assert grown(decide((1,), scores(1), scores(1), rules(margin=0.0), cost_of)) == [False]


def test_errors_are_those_of_the_paired_differences():
    before, after = Scores(((1.0,), (3.0,))), Scores(((2.1,), (3.9,)))
    rise, error = RULES["absolute_rise"].weigh(before, after)
    assert rise == pytest.approx([1.0]) and error == pytest.approx([0.1])
    rise, error = RULES["relative_rise"].weigh(before, after)
    assert rise == pytest.approx([0.5]) and error == pytest.approx([0.05])


def test_relative_and_absolute_rank_differently():
    before, after = scores(1, 10), scores(2, 12)
    assert grown(decide((1, 1), before, after, rules(max_stages=1), cost_of)) == [True, False]
    assert grown(decide((1, 1), before, after, rules(max_stages=1, rule="absolute_rise"), cost_of)) == [False, True]


def test_a_score_of_nothing_does_not_divide_by_zero():
    rise, error = RULES["relative_rise"].weigh(Scores(((0.0,),)), Scores(((1.0,),)))
    assert np.isfinite(rise).all() and np.isfinite(error).all()


@pytest.mark.parametrize(
    "limits, expected, reason",
    [
        ({"max_depth": (4,)}, [False, True, True], "growth.max_depth=4"),
        ({"max_parameters": 290}, [False, True, True], "growth.max_parameters=290"),
        ({"max_parameters": 250}, [False, False, True], "growth.max_parameters=250"),
        ({"max_macs": 10_000}, [False, False, True], "growth.max_macs=10,000"),
        ({"max_latency_ms": 23}, [False, False, True], "23.2 ms would exceed growth.max_latency_ms=23 beside"),
        ({"max_latency_ms": 19}, [False, True, False], "21.2 ms would exceed growth.max_latency_ms=19"),
    ],
)
def test_budgets_keep_the_stages_that_rose_most(limits, expected, reason):
    """From 40 + 40 + 80 = 160 parameters and 14.8 ms at depths (4, 2, 2), all rise, the last one most."""
    decisions = decide((4, 2, 2), scores(1, 1, 1), scores(2, 3, 4), rules(**limits), cost_of)
    assert grown(decisions) == expected
    assert reason in decisions[0].why


def test_each_stage_has_its_own_limit():
    limited = rules(step=1, max_depth=(2, 3, 3))
    assert grow((2, 2, 3), {0, 1, 2}, limited) == (2, 3, 3)
    assert obstacles((2, 2, 3), limited, cost_of) == ["at growth.max_depth=2", None, "at growth.max_depth=3"]


def test_obstacles_say_which_stage_cannot_grow_alone():
    assert obstacles((3, 2), rules(max_depth=(3,)), cost_of) == ["at growth.max_depth=3", None]
    assert obstacles((1, 1), rules(max_macs=3999), cost_of) == ["4,000 macs would exceed growth.max_macs=3,999"] * 2
    too_slow = ["5.4 ms would exceed growth.max_latency_ms=5", "7.4 ms would exceed growth.max_latency_ms=5"]
    assert obstacles((1, 1), rules(max_latency_ms=5.0), cost_of) == too_slow


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5).flatmap(
        lambda depths: st.tuples(st.just(tuple(depths)), st.sets(st.integers(0, len(depths) - 1)))
    ),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(9, 12)),
)
def test_grow_adds_a_step_to_the_chosen_and_respects_the_limit(case, step, limit):
    depths, stages = case
    deeper = grow(depths, stages, rules(step=step, max_depth=(limit,) if limit else ()))
    for stage, (old, new) in enumerate(zip(depths, deeper)):
        assert new == (min(old + step, limit or 99) if stage in stages else old)


@pytest.mark.parametrize("stop, clear", [(0.4, True), (0.6, False)])
def test_a_decision_is_clear_when_every_stage_is_far_from_its_threshold(stop, clear):
    """Rises of 10, 1.5 and -2 errors: the second is half an error above a margin of 1."""
    noise = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0]) / np.sqrt(1.2)  # standard error 1 / sqrt(6)
    before = Scores(tuple((0.0, 0.0, 0.0) for _ in noise))
    after = Scores(tuple(tuple(np.array([10, 1.5, -2]) / np.sqrt(6) + sample) for sample in noise))
    assert is_clear(before, after, rules(rule="absolute_rise", margin=1.0, stop_probe=stop)) is clear


def test_without_noise_only_the_threshold_itself_is_unclear():
    before, at_it, above = (Scores(((value, 1.0 + value),) * 3) for value in (0.0, 0.0, 0.1))
    assert not is_clear(before, at_it, rules(rule="absolute_rise", stop_probe=0.0))
    assert is_clear(before, above, rules(rule="absolute_rise", stop_probe=0.0))
