"""A dry run: its networks and their costs are those of the run, and nothing is left behind."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
from conftest import result_of

from jaxstage import config as configs
from jaxstage import cost
from jaxstage.depth_search import dry_run
from jaxstage.errors import UserError
from jaxstage.models import resnet
from jaxstage.run import run
from jaxstage.train import TrainState
from jaxstage.train.loop import Pace, fit


def count(depths):
    return cost.count(resnet(depths, num_classes=10, widths=(4, 8)), (8, 8, 1))


def config_of(**changes):
    config = configs.default()
    with config.unlocked():
        config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def small(**changes):
    """A config on the digits that compiles in seconds."""
    return config_of(
        model__widths=(4, 8),
        model__depths=(1, 1),
        batch_size=128,
        importance__examples=128,
        candidate__epochs=1,
        growth__step=1,
        growth__max_rounds=2,
        final__epochs=2,
        compilation_cache="",
        devices=1,
        **changes,
    )


def test_the_plan_is_followed_within_the_budgets():
    config = config_of(model__depths=(1, 1), model__widths=(4, 8), growth__max_rounds=9)
    largest = count((5, 3)).parameters
    config.growth.max_parameters = largest
    imagined = dry_run.imagine(config, count, rises=True)
    assert all(candidate.parameters <= largest for candidate in imagined.candidates if candidate.role != "probe")
    assert imagined.final.depths == imagined.current.depths and "growth.max_parameters" in imagined.stop_reason
    roles = [candidate.role for candidate in dry_run.imagine(config, count, rises=False).candidates]
    assert roles == ["start", "probe", "final"]


def test_only_networks_that_the_search_scores_cost_time_for_it():
    """Every candidate that a round is decided on; without probes not the last one that grew."""
    for rule, scored in (("relative_rise", ["start", "probe", "probe"]), ("lowest_score", ["start", "grown"])):
        candidates = dry_run.imagine(small(growth__rule=rule), count, rises=True).candidates
        measured = [dry_run.Measured(candidate, 1.0, 1.0, 1, 1) for candidate in candidates[:1]]
        data = SimpleNamespace(train=SimpleNamespace(size=512), validation=SimpleNamespace(size=0))
        guess = dry_run.estimate(candidates, measured, small(growth__rule=rule), data, steps_per_epoch=1)
        assert [c.role for c, seconds in zip(candidates, guess.importance) if seconds > 0] == scored


def test_a_search_costs_what_is_counted_and_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dry_run, "SECONDS", 0.0)
    workdir = tmp_path / "run"
    result = run(small(), "digits", str(workdir), dry_run=True)
    assert [network["depths"] for network in result["networks"]] == [(1, 1), (2, 2), (3, 3), (3, 3)]
    for network in result["networks"]:
        counted = count(network["depths"])
        assert (network["parameters"], network["macs"]) == (counted.parameters, counted.macs)
    assert not any(tmp_path.iterdir())
    for kind in ("seconds", "bytes"):
        assert 0 < result[kind]["least"] < result[kind]["all_rise"] < result[kind]["most"]
    # A checkpoint holds at least parameters and momentum.
    for measured, network in zip(result["measured"], result["networks"]):
        assert measured["network"] == network["name"] and measured["steps"] == dry_run.STEPS
        assert measured["checkpoint_bytes"] > 4 * 2 * (0.9 * network["parameters"])
    told = capsys.readouterr().out
    for text in ("nothing is written", "growth.max_rounds", "(2, 2)", "guess: ", "these are guesses"):
        assert text in told
    json.dumps(result)


def test_the_command_for_one_training(program, tiny_search, tmp_path):
    workdir = tmp_path / "run"
    process = program(*tiny_search, "--config.task=train", "--dry_run", f"--workdir={workdir}")
    result = result_of(process)
    assert [(network["name"], tuple(network["depths"])) for network in result["networks"]] == [("final", (1, 1))]
    assert result["seconds"]["least"] == result["seconds"]["most"] and not workdir.exists()
    assert "no stage rises" not in process.stdout


def test_where_it_has_no_use_it_says_so():
    with pytest.raises(UserError, match="task evaluate trains nothing"):
        run(config_of(task="evaluate", source="runs/x"), "evaluate", None, dry_run=True)
    with pytest.raises(UserError, match="measures on one host"):
        run(config_of(), "digits", None, ("auto", None, None), dry_run=True)


def test_the_clock_hears_the_time_of_steps_alone(monkeypatch):
    """Of steps of 1 s after 9 s of compilation, with 5 s of validation and 2 s of saving after every third."""
    now = 0.0

    def taking(seconds, result=None):
        nonlocal now
        now += seconds
        return result

    monkeypatch.setattr(dry_run, "time", SimpleNamespace(monotonic=lambda: now))
    clock = dry_run._Clock()
    fit(
        TrainState(jnp.int32(0), params={}, batch_stats={}, opt_state=()),
        lambda state, number, key: taking(1.0 if number else 10.0, (state, {"loss": jnp.ones(1)})),
        lambda variables: taking(5.0, {"loss": 1.0, "accuracy": 0.5}),
        lambda number, count: (number,),
        Pace(steps=9, steps_per_epoch=3, log_every=1, save_every=3),
        key=None,
        store=SimpleNamespace(save=lambda step, state: taking(2.0)),
        monitor=clock,
        stop_signal=lambda: None,
    )
    assert (clock.first_seconds, clock.seconds, clock.steps, clock.step_seconds) == (11.0, 7.0, 7, 1.0)


@pytest.mark.parametrize(
    "points, x, y",
    [
        ([(1.0, 10.0)], 3.0, 30.0),
        ([(1.0, 10.0), (2.0, 14.0)], 4.0, 22.0),
        ([(1.0, 10.0), (2.0, 8.0)], 4.0, 16.0),  # noise: what costs more never takes less
    ],
)
def test_what_was_measured_is_taken_further_along_a_line(points, x, y):
    assert dry_run._line(points)(x) == y
