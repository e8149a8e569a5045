"""jaxstage/comparison/cells.py: which runs there are, for how long, and what a run took."""

import pytest

from jaxstage import config as configs
from jaxstage.comparison import cells, costs
from jaxstage.config import flatten, plain, validate
from jaxstage.cost import Cost
from jaxstage.cost.latency import Table
from jaxstage.report.html.collect import Run
from jaxstage.workdir.record import Candidate, Record

CHANGES = {
    "model.depths": (1, 1),
    "model.widths": (4, 8),
    "batch_size": 10,
    "final.epochs": 4,
    "final.warmup_epochs": 1.0,
}


def cost_of(depths):
    return Cost(sum(depths), 0, 100 * sum(depths))


def setting(arms=("lowest_score", "uniform", "last"), seeds=(0, 1), **changes):
    return cells.Setting(configs.load("digits", {**CHANGES, **changes}), arms, seeds, cost_of)


def candidate(role, depths, steps, **fields):
    cost = cost_of(depths)
    return Candidate(role, role, depths, None, cost.parameters, cost.macs, steps=steps, **fields)


def run(depths, search_steps=200, final_steps=40, **fields):
    """A finished search: its start, then the final network."""
    shared = flatten(plain(setting().config))
    start, final = candidate("start", (1, 1), search_steps), candidate("final", depths, final_steps, **fields)
    return Run("run", "w", shared, Record((start, final)))


def test_searches_come_first_with_their_rules():
    grid = cells.searches(setting(("uniform", "absolute_rise", "last", "lowest_score")))
    assert list(grid) == [(arm, seed) for seed in (0, 1) for arm in ("absolute_rise", "lowest_score")]
    cell = grid["absolute_rise", 1]
    assert cell == cells.Cell("absolute_rise", "search", {"seed": 1, "growth.rule": "absolute_rise"})
    assert (str(cell.folder), cell.name) == ("absolute_rise/seed1", "absolute_rise, seed 1")


def test_trainings_get_the_found_networks_macs_and_the_total_work():
    # seed 0: 3 * 10 * (200 * 200 + 40 * 400) = 1,680,000 in all, an epoch of (2, 2) is 120,000
    found = {("lowest_score", 0): run((2, 2)), ("lowest_score", 1): run((1, 3), search_steps=0)}
    grid = cells.trainings(setting(), found)
    assert list(grid) == [(arm, s) for s in (0, 1) for arm in ("uniform", "last", "lowest_score, from scratch")]
    assert grid["uniform", 0].changes == {
        "seed": 0,
        "model.depths": (2, 2),
        "final.epochs": 14,
        "final.warmup_epochs": 3.5,
    }
    assert grid["last", 0].changes["model.depths"] == (1, 3)
    assert grid["lowest_score, from scratch", 0] is grid["uniform", 0]  # the same training
    assert grid["last", 1].changes["final.epochs"] == 4
    assert grid["lowest_score, from scratch", 1] is grid["last", 1]
    assert grid["uniform", 1].changes["model.depths"] == (2, 2)
    for cell in grid.values():
        config = cell.config(setting().config)
        validate(config)
        assert (config.task, config.final.epochs) == ("train", cell.changes["final.epochs"])


def test_a_budget_of_the_config_goes_before_what_was_found():
    within = setting(**{"growth.max_macs": 700, "growth.max_depth": (3, 9)})
    found = {("lowest_score", seed): run((2, 2)) for seed in (0, 1)}
    grid = cells.trainings(within, found)
    assert grid["uniform", 0].changes["model.depths"] == (3, 4)
    assert grid["last", 0].changes["model.depths"] == (1, 6)
    assert grid["lowest_score, from scratch", 0].changes["model.depths"] == (2, 2)
    assert grid["uniform", 0].changes["final.epochs"] == 8  # deeper, so for less long


def test_what_is_known_before_anything_runs():
    assert cells.depths_of(setting(), "uniform", 0, {}) is None
    assert cells.depths_of(setting(**{"growth.max_macs": 600}), "uniform", 0, {}) == (3, 3)
    assert cells.depths_of(setting(**{"growth.max_macs": 600}), "lowest_score, from scratch", 0, {}) is None
    assert cells.depths_of(setting(), "last", 0, {"lowest_score": run((2, 2))}) == (1, 3)


def test_a_training_lasts_for_an_epoch_at_least_and_its_schedule_is_stretched():
    step = setting(**{"final.schedule": "step", "final.drop_epochs": (2.0, 3.0)}).config
    assert cells.epochs(step, run((1, 1), search_steps=0), macs=100_000) == 1
    assert cells.stretched(step, 6) == {"final.epochs": 6, "final.warmup_epochs": 1.5, "final.drop_epochs": (3.0, 4.5)}


def test_work_is_the_records_own_where_it_has_it():
    assert cells.work(candidate("final", (1, 1), 7), batch_size=10) == {"training": 3 * 7 * 10 * 200}
    assert cells.work(candidate("start", (1, 1), None), batch_size=10) == {"training": 0}
    own = candidate("final", (1, 1), 7, work={"training": 5.0, "importance": 2.0})
    assert cells.work(own, batch_size=10) == {"training": 5.0, "importance": 2.0}
    told = run((2, 2), work={"training": 1000.0, "importance": 200.0})
    assert cells.spent(told, final=True) == 1200 and cells.spent(told, final=False) == 3 * 200 * 10 * 200
    # An epoch took 300 for 400 MACs, so one of a network of 100 takes 75.
    assert cells.epochs(setting().config, told, macs=100) == pytest.approx((1200 + 1_200_000) / 75)


def test_a_budget_of_latency_counts_by_the_table_and_not_before_there_is_one():
    given = setting(**{"growth.max_latency_ms": 4.0})
    assert cells.depths_of(given, "last", 0, {}) is None
    table = Table("phone", 1, (8, 8, 1), {}, (1, 1), 2.0, (0.5, 0.9))
    timed = given._replace(cost_of=costs.timed(cost_of, table))
    assert cells.depths_of(timed, "last", 0, {}) == (1, 3)  # 2 + 2 * 0.9, and half a millisecond more does not fit
    assert cells.depths_of(timed, "first", 0, {}) == (5, 1)
