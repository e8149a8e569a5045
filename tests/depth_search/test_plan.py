"""The plan, played through with invented scores: no training needed to see every path of the search."""

from dataclasses import replace

import pytest

from jaxstage import config as configs
from jaxstage.cost import Cost
from jaxstage.depth_search import plan
from jaxstage.depth_search.actions import Finish, Score, Train
from jaxstage.importance import Scores
from jaxstage.workdir.record import Record


def cost_of(depths):
    return Cost(100 * sum(depths), 100 * sum(depths), 1000 * sum(depths))


def play(rise, inherit="identity", **growth):
    """Carries a search out; `rise(depths) -> scores` stands for the measurement. Returns record and actions."""
    config = configs.default()
    config.model.depths = (1, 1)
    config.model.widths = (4, 8)
    config.inherit.method = inherit
    for key, value in {"step": 1, "max_rounds": 3, **growth}.items():
        config.growth[key] = value
    actions, ahead = [], {}

    def perform(action, record):
        actions.append((type(action).__name__, getattr(action, "name", None)))
        match action:
            case Train(name):
                ahead[name] = plan.certain_next(record, name, config, cost_of)
                return record.updating(name, "training", 1.0, validation={"loss": 1.0, "accuracy": 0.5})
            case Score(name):
                return record.updating(name, "importance", 1.0, scores=Scores((rise(record[name].depths),)))
            case Finish():
                return replace(record, test={"loss": 1.0, "accuracy": 0.5})

    *_, record = plan.play(Record(), config, cost_of, perform)
    check_foresight(record, ahead)
    return record, actions


def check_foresight(record, ahead):
    """Whatever the search: what was certain came, and every probe was certain while its parent was in training."""
    probes = {round.current: record[round.probe].depths for round in record.rounds if round.probe}
    for name, depths in ahead.items():
        trained_now = record[name].role in ("start", "grown")
        assert depths == (probes.get(name) if trained_now else None)


def test_all_grow_the_probe_is_the_next_candidate():
    record, actions = play(lambda depths: tuple(map(float, depths)), max_rounds=2)
    assert record.final.depths == (3, 3) and record.final.parent == "r02_probe"
    assert actions == [
        ("Train", "r00_start"),
        ("Score", "r00_start"),
        ("Train", "r01_probe"),
        ("Score", "r01_probe"),
        ("Train", "r02_probe"),
        ("Score", "r02_probe"),
        ("Train", "final"),
        ("Finish", None),
    ]
    assert record.stop_reason == "growth.max_rounds=2 reached"


def test_some_grow_what_did_not_is_dropped_again():
    record, actions = play(lambda depths: (float(depths[0]), 1.0), max_rounds=1)
    assert [c.depths for c in record.candidates] == [(1, 1), (2, 2), (2, 1), (2, 1)]
    assert record["r01_grown"].parent == "r01_probe" and record.final.parent == "r01_grown"
    assert ("Score", "r01_grown") not in actions  # nobody asks for it any more
    assert [d.grows for d in record.rounds[0].decisions] == [True, False]


def test_the_lowest_score_needs_no_probe():
    record, actions = play(lambda depths: tuple(map(float, depths)), max_rounds=3, rule="lowest_score", max_stages=1)
    assert [c.role for c in record.candidates] == ["start", "final"]  # equal scores: nothing falls short
    record, actions = play(
        lambda depths: (2.0 * depths[0], depths[1] - 0.5), max_rounds=9, rule="lowest_score", margin=0
    )
    assert [c.depths for c in record.candidates][:6] == [(1, 1), (1, 2), (1, 3), (2, 3), (2, 4), (2, 5)]
    assert actions[:4] == [
        ("Train", "r00_start"),
        ("Score", "r00_start"),
        ("Train", "r01_grown"),
        ("Score", "r01_grown"),
    ]
    assert record["r02_grown"].parent == "r01_grown" and {round.probe for round in record.rounds} == {None}


def test_from_scratch_nobody_has_a_parent():
    record, _ = play(lambda depths: (float(depths[0]), 1.0), inherit="scratch")
    assert [candidate.parent for candidate in record.candidates] == [None] * len(record.candidates)


def test_none_grows_the_search_has_converged():
    record, _ = play(lambda depths: (1.0, 1.0))
    assert record.stop_reason.startswith("converged") and record.final.depths == (1, 1)
    assert record.final.parent == "r00_start" and record.models_trained == 3


@pytest.mark.parametrize("budget", [{"max_depth": (2,)}, {"max_parameters": 450}, {"max_macs": 4999}])
def test_a_used_up_budget_ends_the_search_without_another_probe(budget):
    record, _ = play(lambda depths: tuple(map(float, depths)), max_rounds=9, **budget)
    assert record.final.depths == (2, 2) and len(record.rounds) == 1
    assert record.stop_reason.startswith("no stage can grow") and str(list(budget)[0]) in record.stop_reason


def test_a_stage_at_its_limit_stays_out_of_the_probe():
    record, _ = play(lambda depths: (float(depths[0]), -float(depths[1])), max_rounds=2, max_depth=(2,))
    assert [c.depths for c in record.candidates][:3] == [(1, 1), (2, 2), (2, 1)]
    assert record["r02_probe"].depths == (2, 2)
    assert record.rounds[1].decisions[0].why == "at growth.max_depth=2"


def test_task_train_trains_the_given_depths_and_nothing_else():
    config = configs.default()
    config.task = "train"
    record = plan.decide(Record(), config, cost_of)
    assert [c.role for c in record.candidates] == ["final"] and record.final.depths == (2, 2, 2)
    assert plan.decide(record, config, cost_of) == Train("final")
