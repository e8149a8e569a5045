"""The fitted response against responses that are known, and its frontier against looking at everything."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxstage.depth_search.response import choose, fit, frontier
from jaxstage.depths import between

concave = st.lists(st.floats(0, 1), min_size=1, max_size=3).map(lambda gains: tuple(sorted(gains, reverse=True)))
problems = st.tuples(st.lists(concave, min_size=1, max_size=4), st.floats(-3, 3), st.integers(0, 2))


def states_of(gains, low):
    lower = (low,) * len(gains)
    return list(between(lower, tuple(low + len(gained) for gained in gains)))


def loss_of(depths, gains, level, low):
    return level - sum(sum(gained[: depth - low]) for depth, gained in zip(depths, gains))


@settings(deadline=None)
@given(problems)
def test_an_additive_concave_response_is_found_again(problem):
    gains, level, low = problem
    states = states_of(gains, low)
    response = fit(states, [loss_of(depths, gains, level, low) for depths in states], [1e-3] * len(states))
    np.testing.assert_allclose(list(itertools.chain(*response.gains)), list(itertools.chain(*gains)), atol=1e-6)
    assert response.level == pytest.approx(level, abs=1e-6) and (response.lower, response.upper) == (
        states[0],
        states[-1],
    )


@settings(deadline=None)
@given(problems, st.integers(0, 2**20), st.floats(0.01, 2))
def test_gains_are_never_negative_and_never_rise_whatever_is_read(problem, seed, error):
    gains, _, low = problem
    states = states_of(gains, low)
    losses = np.random.default_rng(seed).normal(size=len(states))
    response = fit(states, losses, [error] * len(states))
    for gained in response.gains:
        assert all(before >= after - 1e-9 and after >= -1e-9 for before, after in zip(gained, (*gained[1:], 0.0)))
    # What goes beyond the gains never takes a state past what was read of it.
    plain = response._replace(beyond={})
    for depths, read in zip(states, losses):
        low_end, high_end = sorted((plain.loss(depths), read))
        assert low_end - 1e-9 <= response.loss(depths) <= high_end + 1e-9


def test_precise_readings_count_more():
    states, losses = [(1,), (2,), (1,), (2,)], [1.0, 0.5, 3.0, 0.0]
    assert fit(states, losses, [0.01, 0.01, 10, 10]).gains[0][0] == pytest.approx(0.5, abs=1e-3)


def test_what_the_gains_do_not_explain_counts_if_noise_does_not_either():
    """One state is better than its stages together: an interaction."""
    states = list(between((1, 1), (3, 3)))
    losses = [2.0 - 0.1 * sum(depths) - 0.4 * (depths == (2, 2)) for depths in states]
    exact, vague = fit(states, losses, [1e-3] * 9), fit(states, losses, [1.0] * 9)
    assert [exact.loss(depths) for depths in states] == pytest.approx(losses, abs=1e-3)
    assert set(vague.beyond.values()) == {0.0} and fit(states, losses).beyond == {}


@settings(deadline=None)
@given(problems, st.integers(0, 2**20))
def test_the_frontier_is_what_looking_at_everything_finds(problem, seed):
    gains, _, low = problem
    states, random = states_of(gains, low), np.random.default_rng(seed)
    response = fit(states, random.normal(size=len(states)), [0.1] * len(states))
    costs = dict(zip(states, random.integers(1, 9, len(states)).tolist()))
    points = frontier(response, costs.__getitem__)
    assert [point.cost for point in points] == sorted({point.cost for point in points})
    for budget in range(10):
        affordable = [response.loss(depths) for depths in states if costs[depths] <= budget]
        chosen = choose(points, budget)
        if not affordable:
            assert chosen is None
        else:
            assert response.loss(chosen) == pytest.approx(min(affordable), abs=1e-6) and costs[chosen] <= budget


def test_where_nothing_gains_the_start_stays():
    states = list(between((1, 1), (2, 2)))
    response = fit(states, [1.0, 1.2, 1.3, 1.5], [0.01] * 4)
    assert choose(frontier(response._replace(beyond={}), sum), 100) == (1, 1)
