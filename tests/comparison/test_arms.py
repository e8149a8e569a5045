"""jaxstage/comparison/arms.py: fixed rules against all depths that there are, and the names of arms."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxstage.comparison import arms
from jaxstage.comparison.arms import FIXED, chosen, fixed, maximal
from jaxstage.config import RULES
from jaxstage.errors import UserError

DEEPEST = 6


@st.composite
def cases(draw):
    """(start, limits, fits): up to three stages whose blocks cost a few units each, within a budget and limits."""
    stages = draw(st.integers(1, 3))
    a_stage = lambda low, high: draw(st.lists(st.integers(low, high), min_size=stages, max_size=stages))
    start, prices = tuple(a_stage(1, 3)), a_stage(1, 5)
    limits = draw(st.one_of(st.just((math.inf,) * stages), st.just(tuple(a_stage(3, DEEPEST)))))
    price = lambda depths: sum(one * depth for one, depth in zip(prices, depths))
    budget = price(start) + draw(st.integers(0, 3 * min(prices)))
    return start, limits, lambda depths: price(depths) <= budget and all(map(lambda d, most: d <= most, depths, limits))


def everything(start, fits):
    """All depths that fit, by trying them."""
    return [d for d in itertools.product(*(range(depth, depth + 20) for depth in start)) if fits(d)]


def deeper(depths):
    return [tuple(depth + (at == stage) for at, depth in enumerate(depths)) for stage in range(len(depths))]


@given(cases(), st.sampled_from(sorted(FIXED)), st.integers(0, 9))
@settings(deadline=None)
def test_every_rule_stays_within_the_budget_and_leaves_no_block_out(case, name, seed):
    start, limits, fits = case
    depths = fixed(name, limits, seed)(start, fits)
    assert fits(depths) and all(depth >= least for depth, least in zip(depths, start))
    if name != "uniform":
        assert not any(map(fits, deeper(depths)))


@given(cases())
@settings(deadline=None)
def test_uniform_is_as_deep_as_all_stages_together_can_be(case):
    start, limits, fits = case
    depths = fixed("uniform", limits, 0)(start, fits)
    level = lambda depth: tuple(max(own, min(depth, limit)) for own, limit in zip(start, limits))
    here = max(depth for depth in range(1, 40) if fits(level(depth)))
    assert all(low <= depth <= high for low, depth, high in zip(level(here), depths, level(here + 1)))
    for stage, (depth, next) in enumerate(zip(depths, level(here + 1))):  # what stayed behind did not fit
        assert depth == next or not fits((*depths[:stage], next, *depths[stage + 1 :]))


@given(cases())
@settings(deadline=None)
def test_rules_against_all_depths_that_fit(case):
    start, _, fits = case
    fitting = everything(start, fits)
    assert maximal(start, fits) == [depths for depths in fitting if not any(map(fits, deeper(depths)))]
    assert arms.first(start, fits) == max(fitting)
    assert arms.last(start, fits) == max(fitting, key=lambda depths: depths[::-1])
    most = max(map(sum, fitting))
    evenness = lambda depths: sum(depth**2 for depth in depths)
    found = arms.deepest(start, fits)
    assert sum(found) == most and evenness(found) == min(evenness(depths) for depths in fitting if sum(depths) == most)


def test_the_rules_by_hand():
    twelve = lambda depths: depths[0] + 2 * depths[1] + 3 * depths[2] <= 12
    start = (1, 1, 1)
    assert arms.uniform(start, twelve) == (2, 2, 2)
    assert arms.uniform(start, lambda depths: sum(depths) <= 8) == (3, 3, 2)
    assert arms.uniform((1, 3, 1), lambda depths: sum(depths) <= 8, limits=(2, 9, 2)) == (2, 4, 2)
    assert arms.first(start, twelve) == (7, 1, 1)
    assert arms.last(start, twelve) == (1, 1, 3)
    assert arms.shallowest((1, 1), lambda depths: sum(depths) <= 5) == (2, 3)
    assert arms.shallowest((1, 3), lambda depths: sum(depths) <= 6) == (3, 3)
    assert arms.deepest(start, twelve) == (7, 1, 1)
    assert arms.deepest((1, 1), lambda depths: sum(depths) <= 5) == (2, 3)


def test_random_draws_among_the_maximal_ones_by_its_seed():
    fits = lambda depths: sum(depths) <= 6
    drawn = [fixed("random", (), seed)((1, 1, 1), fits) for seed in range(200)]
    assert set(drawn) == set(maximal((1, 1, 1), fits))
    assert drawn == [fixed("random", (), seed)((1, 1, 1), fits) for seed in range(200)]


@pytest.mark.parametrize("name", sorted(FIXED))
def test_a_start_above_the_budget_stays_as_it_is(name):
    assert fixed(name, (math.inf, math.inf), 0)((2, 3), lambda depths: False) == (2, 3)


def test_too_many_depths_to_go_through(monkeypatch):
    monkeypatch.setattr(arms, "MOST", 50)
    with pytest.raises(UserError, match="config.growth.max_depth"):
        maximal((1, 1, 1), lambda depths: sum(depths) <= 20)


def test_names():
    assert chosen("search, last", "lowest_score") == ("lowest_score", "last")
    assert chosen("uniform,relative_rise", "lowest_score") == ("uniform", "relative_rise")
    usual = chosen(None, "lowest_score")
    assert usual[0] == ("elastic" if "elastic" in RULES else "lowest_score")
    assert usual[1:] == ("uniform", "random", "last", "deepest")
    assert not set(FIXED) & set(RULES)


@pytest.mark.parametrize(
    "given, text",
    [
        ("search,unifrom", "there is no arm 'unifrom': did you mean uniform?"),
        ("search,", "there is no arm '': choose among search, "),
        ("search", "one arm is no comparison: name at least two, like relative_rise,uniform"),
        ("search,last,last", "last is there twice"),
        ("search,relative_rise", "relative_rise is there twice"),
        ("uniform,last", "none of them searches: add search, or one of elastic"),
    ],
)
def test_names_that_cannot_be(given, text):
    with pytest.raises(UserError) as raised:
        chosen(given, "relative_rise")
    assert str(raised.value).startswith(f"--arms={given}: ") and text in str(raised.value)
