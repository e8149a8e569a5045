"""Replays on tables: small ones whose best rule is known, and the published ones where they are at hand."""

import json

import pytest
from conftest import REPOSITORY, SHARED

from studies import replay

FIXED = list(replay.FIXED)


def write(folder, name, accuracy_of, depths, **costs):
    rows = [
        {"depths": list(d), "accuracy": accuracy_of(d), **{cost: of(d) for cost, of in costs.items()}} for d in depths
    ]
    (folder / f"{name}.json").write_text(json.dumps({"space": name, "measured": "made up", "rows": rows}))


GRID = [(a, b) for a in (1, 2, 3) for b in (1, 2, 3)]


def test_where_one_stage_gains_the_rule_for_it_has_no_regret_and_neither_has_the_response(tmp_path):
    write(tmp_path, "last", lambda d: 60 + 9 * d[1] - d[1] ** 2, GRID, macs=sum)
    found, left_out = replay.replay(tmp_path)
    regrets = found["last"]["macs"]
    assert left_out == [] and regrets["last stage"] == regrets["greedy"] == regrets["elastic"] == 0
    assert regrets["first stage"] > regrets["random"] > 0
    assert regrets["elastic, noise 0.2"] <= regrets["elastic, noise 1.0"] < regrets["first stage"]


def test_a_budget_is_never_exceeded_and_a_walk_takes_other_steps_when_one_does_not_fit():
    costs = {d: 10 * d[0] + d[1] for d in GRID}
    assert replay.walk(costs, (1, 1), 13, replay.FIXED["first stage"]) == (1, 3)
    assert replay.walk(costs, (1, 1), 22, replay.FIXED["first stage"]) == (2, 2)
    assert replay.walk(costs, (1, 1), 11, replay.FIXED["last stage"]) == (1, 1)


def test_halves_are_chosen_on_one_and_judged_on_the_other(tmp_path):
    write(tmp_path, "halves", lambda d: [70 + d[0], 70 + d[1]], GRID, macs=sum)
    first, second = replay.load(tmp_path / "halves.json")
    assert first.chosen_on == second.judged_on != first.judged_on == second.chosen_on
    found, _ = replay.replay(tmp_path)
    assert found["halves"]["macs"]["elastic"] > 0.3  # what one half says is wrong on the other


def test_stages_without_blocks_are_replayed_from_one_block_besides(tmp_path):
    write(
        tmp_path,
        "empty",
        lambda d: 50 + sum(d),
        [(a, b) for a in (0, 1, 2) for b in (0, 1, 2)],
        macs=sum,
        parameters=max,
    )
    found, _ = replay.replay(tmp_path)
    assert list(found) == ["empty", "empty from 1"] and list(found["empty"]) == ["macs", "parameters"]


def test_a_table_with_gaps_is_left_out_and_named(tmp_path, capsys):
    write(tmp_path, "gaps", sum, GRID[:-2] + GRID[-1:], macs=sum)
    write(tmp_path, "whole", sum, GRID, macs=sum)
    replay.main([f"--tables={tmp_path}"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("gaps.json is left out") for line in lines)
    assert list(json.loads(lines[-1])) == ["whole"]


def test_a_folder_without_tables_is_one_clear_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        replay.main([f"--tables={tmp_path}"])
    assert "there are no depth tables there" in capsys.readouterr().err


def test_no_fixed_rule_is_as_good_as_the_response_on_published_tables():
    folder = SHARED / "depth_tables"
    if not folder.exists():
        pytest.skip("../shared/depth_tables, the published tables, is not here")
    found, left_out = replay.replay(folder)
    assert left_out == ["resnet48_alone.json"]
    cells = [by_rule for costs in found.values() for by_rule in costs.values()]
    mean = {rule: sum(cell[rule] for cell in cells) / len(cells) for rule in cells[0]}
    noisy = "elastic, noise 0.5"
    assert mean[noisy] + 0.1 < min(mean[rule] for rule in FIXED)
    assert all(cell[noisy] < min(cell[rule] for rule in FIXED) + 0.1 for cell in cells)


def test_the_readme_has_the_table_that_the_command_prints(capsys):
    if not (SHARED / "depth_tables").exists():
        pytest.skip("../shared/depth_tables, the published tables, is not here")
    replay.main([f"--tables={SHARED / 'depth_tables'}"])
    table = capsys.readouterr().out.split("\n\n")[1]
    assert table.startswith("| rule | mean regret |") and table in (REPOSITORY / "studies" / "README.md").read_text()
