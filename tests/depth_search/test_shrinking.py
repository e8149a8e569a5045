"""A search that may end shallower than the network that it is given: its plan, its choice, and a run from a source."""

import json

import jax
import numpy as np
import pytest
from conftest import REPOSITORY, result_of, run_program
from test_elastic_search import cost_of, reading_of, settings
from test_transfer import CLASSES, source_of, state_of

from jaxstage import config as configs
from jaxstage.depth_search import choice, dry_run, transfer
from jaxstage.depth_search.inherit import inherit
from jaxstage.errors import UserError
from jaxstage.workdir import record as records


def given(depths, **growth):
    config = settings(min_depth=(1,), **growth)
    config.model.depths = depths
    configs.validate(config)
    return config


def test_the_first_elastic_network_is_the_one_that_is_given_and_later_ones_go_deeper():
    record = dry_run.imagine(given((3, 2), max_rounds=2), cost_of, rises=True)
    elastic = [candidate for candidate in record.candidates if candidate.role == "elastic"]
    assert [network.depths for network in elastic] == [(3, 2), (4, 3)]
    assert {network.lower for network in elastic} == {(1, 1)} and record.final.depths == (4, 3)


def test_where_no_block_gains_anything_the_fewest_are_kept():
    record = dry_run.imagine(given((3, 2)), cost_of, rises=False)
    assert record.final.depths == (1, 1) and record.final.parent == "r01_chosen" and len(record.rounds) == 1


def test_of_what_exceeds_a_budget_nothing_is_trained():
    record = dry_run.imagine(given((3, 4), max_macs=4000), cost_of, rises=True)
    assert record["r01_elastic"].depths == (3, 3) and sum(record.final.depths) == 4


@pytest.mark.parametrize(
    "least, start", [((), (3, 1, 2)), ((1,), (1, 1, 1)), ((2,), (2, 1, 2)), ((2, 1, 1), (2, 1, 1))]
)
def test_a_search_starts_at_the_lower_of_both(least, start):
    config = configs.default()
    config.model.depths, config.growth.min_depth = (3, 1, 2), least
    assert configs.start_depths(config) == start


@pytest.mark.parametrize("within, depths", [(0.0, None), (1.0, (2, 2)), (1e6, (1, 1))])
def test_the_cheapest_within_the_error_of_the_best(within, depths):
    # Each stage's second added block gains a thousandth of what the noise allows to tell.
    config = settings(within=within)
    states = choice.states_within((1, 1), (3, 3), config.growth, cost_of)
    reading = reading_of(states, [(0.1, 1e-6), (0.2, 1e-6)], noise=0.05)
    found = choice.judge(reading, states, config.growth, cost_of, seed=0)
    best = found.frontier["macs"][-1]["depths"]
    assert sum(best) > 4 and found.chosen == (depths or best) and f"within {within:g} standard errors" in found.why


def test_within_holds_inside_a_budget_too():
    config = settings(within=1e6, max_macs=5000)
    states = choice.states_within((1, 1), (3, 3), config.growth, cost_of)
    assert choice.judge(reading_of(states, [(0.1, 0.1)] * 2), states, config.growth, cost_of, seed=0).chosen == (1, 1)


@pytest.mark.parametrize("key, value", [("min_depth", (1,)), ("within", 1.0)])
def test_searches_by_scores_refuse_it(key, value):
    config = configs.default()
    config.growth[key] = value
    with pytest.raises(UserError, match=f"growth.{key}=.*only growth.rule=elastic.*relative_rise"):
        configs.validate(config)


def test_what_a_search_adds_to_a_source_changes_nothing_at_first():
    module, theirs = state_of()
    deeper, fresh = state_of(depths=(3, 3), seed=1)
    source = source_of(theirs)
    child = transfer.load(fresh, source, transfer.match(fresh.variables, source, CLASSES))
    grown = inherit(child, transfer.without_new_blocks(child, source), "identity", jax.random.key(0))
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(
        deeper.apply(grown.variables, images, train=False),
        module.apply(theirs.variables, images, train=False),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "task, rule, mode, finetuning",
    [
        ("transfer", "relative_rise", "finetune", True),
        ("transfer", "relative_rise", "scratch", False),
        ("search", "elastic", "finetune", True),
        ("search", "elastic", "scratch", False),
        ("search", "relative_rise", "finetune", False),
        ("train", "elastic", "finetune", False),
    ],
)
def test_who_trains_at_the_rates_of_a_transfer(task, rule, mode, finetuning):
    config = configs.default()
    config.task, config.source, config.growth.rule, config.transfer.mode = task, "runs/toys", rule, mode
    assert configs.is_finetuning(config) == finetuning


def test_a_source_is_cut_back_to_what_other_data_need(compilation_cache, tiny_search, toy_tfds, tmp_path):
    trained = ("--config.task=train", "--config.model.depths=(2,2)", f"--workdir={tmp_path / 'source'}")
    result_of(run_program(compilation_cache, *tiny_search, *trained))
    flags = {
        "config": REPOSITORY / "configs" / "photos.py",
        "config.source": tmp_path / "source",
        "config.data.name": "toy",
        "config.data.dir": toy_tfds,
        "config.data.image_size": 16,
        "config.batch_size": 16,
        "config.candidate.epochs": 2,
        "config.final.epochs": 2,
        "config.growth.within": 1e6,
        "workdir": tmp_path / "run",
    }
    result = result_of(run_program(compilation_cache, *(f"--{key}={value}" for key, value in flags.items())))
    assert result["depths"] == [1, 1]
    record = records.load(tmp_path / "run")
    elastic = record["r01_elastic"]
    assert (elastic.lower, elastic.depths, elastic.parent) == ((1, 1), (2, 2), "source")
    assert record.final.parent == "r01_chosen" and record.models_trained == 2
    assert "head" in json.loads((tmp_path / "run" / "transfer.json").read_text())["new"]
