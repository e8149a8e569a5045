"""The elastic search: its plan on made-up readings, and whole runs, killed and continued, spread over devices, streamed."""

import json
import signal

import numpy as np
import pytest
from conftest import REPOSITORY, result_of

import jaxstage
from jaxstage import config as configs
from jaxstage.cost import Cost
from jaxstage.depth_search import choice, dry_run
from jaxstage.depth_search.reading import Reading
from jaxstage.errors import UserError
from jaxstage.workdir import record as records

KILL_AT = str(REPOSITORY / "tests" / "kill_at.py")


def cost_of(depths):
    return Cost(100 * sum(depths), 100 * sum(depths), 1000 * sum(depths))


def settings(**growth):
    config = configs.default()
    config.model.depths, config.model.widths = (1, 1), (4, 8)
    for key, value in {"rule": "elastic", "step": 1, "max_rounds": 3, **growth}.items():
        config.growth[key] = value
    configs.validate(config)
    return config


def reading_of(states, gains, noise=0.01, seed=0):
    """Losses in which each added block of a stage takes off its gain, with noise of each image that states share."""
    random = np.random.default_rng(seed)
    images = random.normal(1.0, 0.2, 200)
    own = noise * random.normal(size=(len(states), 200))
    gained = [sum(sum(of[: depth - 1]) for depth, of in zip(state, gains)) for state in states]
    losses = images - np.array(gained)[:, None] + own
    return Reading(tuple(states), losses, losses < 1)


def chosen(gains, **growth):
    config = settings(**growth)
    states = choice.states_within((1, 1), (3, 3), config.growth, cost_of)
    return choice.judge(reading_of(states, gains), states, config.growth, cost_of, seed=0)


def test_without_a_budget_blocks_are_added_while_they_pay():
    found = chosen([(0.1, 0.0), (0.2, 0.15)], least_gain=0.02)
    assert found.chosen == (2, 3)
    assert chosen([(0.0, 0.0), (0.0, 0.0)]).chosen == (1, 1)
    assert chosen([(0.1, 0.0), (0.2, 0.15)], least_gain=1.0).chosen == (1, 1)


def test_within_a_budget_the_whole_tuple_is_the_best_that_fits():
    gains = [(0.1, 0.09), (0.12, 0.0)]
    assert chosen(gains, max_macs=4000).chosen == (2, 2)
    assert chosen(gains, max_macs=3000).chosen == (1, 2)
    found = chosen(gains, max_macs=5000)
    assert found.chosen == (3, 2) and all(state.macs <= 5000 for state in found.states)


def test_the_response_and_its_errors_are_those_of_the_readings():
    found = chosen([(0.1, 0.05), (0.2, 0.1)])
    np.testing.assert_allclose(found.response.gains, [(0.1, 0.05), (0.2, 0.1)], atol=0.01)
    assert np.array(found.response.gain_errors).max() < 0.01
    np.testing.assert_allclose(found.importance, (0.15, 0.3), atol=0.01)
    assert set(found.frontier) == {"macs", "parameters"} and found.of(found.chosen).depths == found.chosen


@pytest.mark.parametrize("rises, depths, rounds", [(True, (4, 4), 3), (False, (1, 1), 1)])
def test_the_plan_goes_deeper_while_stages_end_at_their_deepest(rises, depths, rounds):
    record = dry_run.imagine(settings(), cost_of, rises)
    assert record.final.depths == depths and len(record.rounds) == rounds
    assert [c.role for c in record.candidates] == ["start", *["elastic", "chosen"] * rounds, "final"]
    elastic = [c for c in record.candidates if c.role == "elastic"]
    assert [c.depths for c in elastic] == [(2, 2), (3, 3), (4, 4)][:rounds]
    assert [c.parent for c in elastic] == [None, "r01_elastic", "r02_elastic"][:rounds]
    assert record.final.parent == record.current.name and record.models_trained == rounds + 1


def test_a_stage_is_deepened_as_far_as_it_fits_alone():
    record = dry_run.imagine(settings(step=9, max_macs=5000, max_depth=(3, 9)), cost_of, rises=True)
    assert record["r01_elastic"].depths == (3, 4) and sum(record.final.depths) == 5 and len(record.rounds) == 1


def test_where_nothing_fits_the_start_is_trained_alone():
    record = dry_run.imagine(settings(max_macs=2000), cost_of, rises=True)
    assert [c.role for c in record.candidates] == ["start", "final"] and record.final.parent is None
    assert record.stop_reason.startswith("no stage can grow") and record.models_trained == 1


@pytest.mark.parametrize(
    "key, value",
    [
        ("importance.method", "ablation"),
        ("growth.max_stages", 1),
        ("growth.stop_probe", 1.0),
        ("model.family", "nasnet"),
    ],
)
def test_what_has_no_meaning_for_it_is_refused(key, value):
    config = settings()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match="growth.rule=elastic"):
        configs.validate(config)


FLAGS = ["--config.growth.rule=elastic", "--config.growth.least_gain=0.0", "--config.growth.margin=0.0"]


def outcome(workdir):
    record = json.loads((workdir / "search.json").read_text())
    for candidate in record["candidates"]:
        candidate["seconds"] = candidate["joules"] = None
    architecture = json.loads((workdir / "final" / "architecture.json").read_text())
    return record["candidates"], record["rounds"], record["test"], architecture["weights_sha256"]


def test_killed_and_continued_it_ends_with_the_same_bits(tmp_path, program, tiny_search):
    result_of(program(*tiny_search, *FLAGS, f"--workdir={tmp_path / 'whole'}"))
    for moment in ("training", "saving", "reading", "between rounds", "final training", "handing over"):
        process = program(*tiny_search, *FLAGS, f"--workdir={tmp_path / 'run'}", module=(KILL_AT, moment))
        assert process.returncode == -signal.SIGKILL, process.stdout[-500:] + process.stderr[-2000:]
    result_of(program(*tiny_search, *FLAGS, f"--workdir={tmp_path / 'run'}"))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    record = records.load(tmp_path / "whole")
    assert record[record.rounds[-1].probe].found.of(record.current.depths).validation == record.current.validation


SMALL = {
    "model.widths": (4, 8),
    "model.depths": (1, 1),
    "batch_size": 128,
    "importance.examples": 128,
    "candidate.epochs": 2,
    "growth.rule": "elastic",
    "growth.step": 1,
    "growth.max_rounds": 1,
    "final.epochs": 1,
    "compilation_cache": "",
}


def test_any_state_can_be_trained_and_the_result_has_response_and_frontier(tmp_path):
    result = jaxstage.search(configs.load("digits", {**SMALL, "devices": 1}), tmp_path / "run")
    assert {row["by"] for row in result.frontier} == {"macs", "parameters"} and result.response["lower"] == (1, 1)
    again = configs.load(f"train:{tmp_path / 'run'}", {"model.depths": (1, 2) if result.depths != (1, 2) else (2, 1)})
    other = jaxstage.search(again, tmp_path / "other")
    assert other.depths == tuple(again.model.depths)
    inherited = json.loads((tmp_path / "other" / "transfer.json").read_text())
    assert inherited["new"] == {} and inherited["source"] == str(tmp_path / "run")
    again.model.depths = (1, 9)
    with pytest.raises(UserError, match="elastic network those from .1, 1. to .2, 2."):
        jaxstage.search(again, tmp_path / "third")


@pytest.mark.parametrize(
    "changes",
    [
        {"parallel": "pmap", "devices": 2},
        {"parallel": "jit", "devices": 2},
        {"data.input": "streaming", "data.workers": 0},
        {"model.family": "mobilenet", "devices": 1, "model.stem_width": 4, "model.head_width": 8},
        {"model.family": "nasnet", "devices": 1, "model.depths": (2, 2), "inherit.method": "copy"},
    ],
    ids=["pmap", "jit", "streamed", "mobilenet", "nasnet"],
)
def test_it_runs_however_it_is_spread_and_whatever_it_is_built_of(tmp_path, changes):
    result = jaxstage.search(configs.load("digits", {**SMALL, **changes}), tmp_path / "run")
    assert result.response is not None and len(result.frontier) >= 2
