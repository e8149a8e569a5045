"""The page and the tables of an elastic search: what was read, the frontier, and how its networks are trained."""

import json
import re
import shlex
from dataclasses import replace

import pytest
from pages import check_accessible, page_of

from benchmarks.synthetic import change, write_elastic_run, write_run
from jaxstage.report import text
from jaxstage.report.console import Reporter
from jaxstage.workdir import record as records

RESPONSE = "How the loss falls with the depth of each stage"
NETWORKS = "Networks of the frontiers, the highest fitted loss first"
DECISIONS = "Decisions with their reasons; errors are standard errors"
CANDIDATES = "Candidates in the order in which they came up"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_elastic_run(tmp_path_factory.mktemp("runs") / "a search", latency=True)


@pytest.fixture(scope="module")
def drawn(run):
    return page_of(run)


@pytest.fixture(scope="module")
def candidates(run):
    return {candidate["name"]: candidate for candidate in json.loads((run / "search.json").read_text())["candidates"]}


def test_anybody_can_read_it(drawn):
    assert check_accessible(drawn) >= 12
    pictures = re.findall(r"<svg.*?</svg>", drawn.text, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-f]{6}", " ".join(pictures))  # they follow light and dark
    assert "" not in [cell for rows in drawn.tables.values() for cell in rows[0]]  # every column says what it is


def test_the_response_of_the_last_elastic_network(drawn, candidates):
    read, chosen = candidates["r02_elastic"]["found"], candidates["r02_chosen"]["depths"]
    lower, level = read["response"]["lower"], read["response"]["level"]
    rows = [row for row in drawn.tables[RESPONSE][1:] if row[0] == "2"]
    gains = read["response"]["gains"][1]
    assert [row[1] for row in rows] == [str(lower[1] + added) for added in range(3)]
    assert [row[2] for row in rows] == ["", *(f"{gain:.4g}" for gain in gains)]
    assert [float(row[4]) for row in rows] == pytest.approx([level, level - gains[0], level - sum(gains)], abs=1e-4)
    assert [row[1] for row in rows if row[5] == "yes"] == [str(chosen[1])]
    assert "Fitted to what was read of 27 states of r02_elastic" in drawn.text


@pytest.mark.parametrize("cost, word", text.COSTS.items())
def test_a_frontier_for_each_cost(drawn, candidates, cost, word):
    rows = drawn.tables[f"The frontier: loss against {word}"][1:]
    read = candidates["r02_elastic"]["found"]
    states = {text.depths(state["depths"]): state for state in read["states"]}
    assert {row[0] for row in rows} == set(states)
    for row in rows:
        state = states[row[0]]
        assert row[1:6] == [
            text.cost_of(state[cost], cost),
            f"{state['loss']:.4f}",
            "0.006",
            f"{state['fitted']:.4f}",
            text.percent(state["accuracy"]),
        ]
    on = [row for row in rows if row[6] == "yes"]
    assert [row[0] for row in on] == [text.depths(point["depths"]) for point in read["frontier"][cost]]
    marks = {row[0]: row[7] for row in rows if row[7]}
    named = {"start": "r01_chosen", "choice": "r02_chosen"}
    for mark, name in named.items():
        assert mark in marks[text.depths(candidates[name]["depths"])].split(", ")
    equal = {depths for depths, state in states.items() if len(set(state["depths"])) == 1}
    assert {depths for depths, mark in marks.items() if "uniform" in mark} == equal != set()


def test_every_network_of_a_frontier_has_its_command(run, drawn, candidates):
    head, *rows = drawn.tables[NETWORKS]
    frontiers = candidates["r02_elastic"]["found"]["frontier"]
    on = {tuple(point["depths"]) for points in frontiers.values() for point in points}
    final = tuple(candidates["final"]["depths"])
    assert head[-1] == "command that trains it to the end" and {row[0] for row in rows} == set(map(text.depths, on))
    for row in rows:
        depths = next(depths for depths in on if text.depths(depths) == row[0])
        if depths == final:
            assert row[-1] == "trained by this run" and "choice" in row[-2]
            continue
        command = shlex.split(row[-1])
        numbers = ",".join(map(str, depths))
        assert command == ["jaxstage", "train", f"--config.source={run}", f"--config.model.depths=({numbers})"]
        members = [text.COSTS[cost] for cost, line in frontiers.items() if list(depths) in [p["depths"] for p in line]]
        assert row[-3] == ", ".join(members)
    losses = [float(row[head.index("fitted loss")]) for row in rows]
    assert losses == sorted(losses, reverse=True)


def test_only_what_was_trained_counts_and_is_called_so(drawn):
    assert "<dt>models trained</dt><dd>3<" in drawn.text and "of them in the search</dt><dd>2<" in drawn.text
    assert "states of elastic networks read</dt><dd>54<" in drawn.text and "not trained yet" not in drawn.text
    assert {row[0] for row in drawn.tables["Training curves"][1:]} == {"r01_elastic", "r02_elastic", "final"}
    assert "elastic network</text>" in drawn.text and "probe" not in drawn.text.split("Config</h2>")[0]
    roles = {row[0]: row[1:4] for row in drawn.tables[CANDIDATES][1:]}
    assert roles["r01_elastic"] == ["elastic", "(1, 1, 1) to (3, 3, 3)", "nothing"]
    assert roles["r01_chosen"][0] == "chosen" and roles["r01_chosen"][2] == "r01_elastic"


def test_growth_goes_over_what_was_chosen(drawn, candidates):
    grown = [list(map(int, row[1:4])) for row in drawn.tables["Growth over the rounds"][1:]]
    assert grown == [candidates[name]["depths"] for name in ("r00_start", "r01_chosen", "r02_chosen")]


def test_decisions_tell_the_importance_of_the_added_blocks_alone(drawn, candidates):
    head, *rows = drawn.tables[DECISIONS]
    assert head == ["round", "stage", "importance of the added blocks", "grown", "why"]
    gains = candidates["r01_elastic"]["found"]["response"]["gains"]
    assert [row[2] for row in rows[:3]] == [text.measured(sum(gained), 0.002) for gained in gains]
    assert drawn.tables["Importance of the stages' added blocks"][0][2:4] == ["importance", "standard error"]


def test_where_not_every_state_was_read_the_frontier_has_the_others(tmp_path):
    run = write_elastic_run(tmp_path / "large", 1, step=4, most_read=50)
    read = json.loads((run / "search.json").read_text())["candidates"][1]["found"]
    states = {tuple(state["depths"]) for state in read["states"]}
    unread = [point for point in read["frontier"]["macs"] if tuple(point["depths"]) not in states]
    rows = {row[0]: row for row in page_of(run).tables["The frontier: loss against MACs"]}
    assert unread
    for point in unread:
        row = rows[text.depths(point["depths"])]
        assert row[1:7] == [text.cost_of(point["cost"], "macs"), "", "", f"{point['loss']:.4f}", "", "yes"]


def test_half_finished(tmp_path):
    run = write_elastic_run(tmp_path / "run", 2, finished=False)
    drawn = page_of(run)
    assert "Not finished: 2 models trained. So far it has come to r02_chosen." in drawn.text
    assert "jaxstage train" not in drawn.text and "command that trains it to the end" not in drawn.cells

    def unread(record):  # the second elastic network is trained, and nothing was read of it
        record["candidates"] = record["candidates"][:4]
        record["candidates"][3].update(found=None, validation=None)
        record["rounds"][1].update(decisions=None, next=None)

    change(run / "search.json", unread)
    drawn = page_of(run)
    assert "Not finished: 2 models trained. So far it has come to r01_chosen." in drawn.text
    assert "27 states of r01_elastic" in drawn.text and "not read" in drawn.cells

    def first(record):  # the first one is being trained
        record["candidates"] = record["candidates"][:2]
        for candidate in record["candidates"]:
            candidate.update(found=None, validation=None, steps=None, seconds={})
        record["rounds"] = [{**record["rounds"][0], "decisions": None, "next": None}]

    change(run / "search.json", first)
    drawn = page_of(run, write_run(tmp_path / "other", 1))
    assert "Not finished: 0 models trained." in drawn.text and RESPONSE not in drawn.tables
    loss = {row[0]: row[-1] for row in page_of(run).tables[CANDIDATES][1:]}
    assert loss == {"r00_start": "not read", "r01_elastic": "not trained yet"}
    change(run / "search.json", lambda record: record.update(candidates=record["candidates"][:1], rounds=[]))
    assert "not trained yet" not in page_of(run).cells


def test_an_open_round_has_a_frontier_without_a_choice(tmp_path):
    run = write_elastic_run(tmp_path / "run", 1, finished=False)

    def open_round(record):
        record["candidates"].pop()
        record["rounds"][0].update(decisions=None, next=None)

    change(run / "search.json", open_round)
    drawn = page_of(run)
    check_accessible(drawn)
    marks = [row[-1] for row in drawn.tables["The frontier: loss against MACs"][1:]]
    assert "start, uniform" in marks and not any("choice" in mark for mark in marks) and DECISIONS not in drawn.tables


def test_a_search_that_stays_where_it_was(tmp_path):
    run = write_elastic_run(tmp_path / "run", 1)

    def stay(record):
        record["candidates"] = [c for c in record["candidates"] if c["role"] != "chosen"]
        record["candidates"][-1].update(depths=[1, 1, 1], parent="r00_start")
        record["rounds"][0]["next"] = "r00_start"

    change(run / "search.json", stay)
    drawn = page_of(run)
    marks = {row[0]: row[-1] for row in drawn.tables["The frontier: loss against parameters"]}
    assert marks["(1, 1, 1)"] == "choice, start, uniform"
    assert [row[1:4] for row in drawn.tables["Growth over the rounds"][1:]] == [["1"] * 3, ["1"] * 3]


def test_beside_other_runs_nothing_is_put_where_no_training_ended(run, tmp_path):
    drawn = page_of(run, write_run(tmp_path / "noise", 2))
    ends = [row[1] for row in drawn.tables["Accuracy against time"][1:] if row[0] == "a search"]
    assert ends == ["r01_elastic", "r02_elastic", "final"]
    assert [row[7] for row in drawn.tables["What each run came to"][1:] if row[0] == "a search"] == ["3"]


def test_the_console_keeps_the_choice_of_a_long_frontier(tmp_path, capsys):
    run = write_elastic_run(tmp_path / "large", 1, step=5, most_read=50)
    found = records.load(run).candidates[1].found
    points = found.frontier["macs"]
    assert len(points) > 20
    for point in points:
        Reporter().response(replace(found, chosen=tuple(point["depths"])))
        gained, frontier = capsys.readouterr().out.split("frontier:")
        rows = [line for line in frontier.splitlines() if "│" in line]
        assert len(rows) <= 15 and [text.depths(point["depths"]) in row for row in rows if "yes" in row] == [True]
        assert text.depths(points[0]["depths"]) in rows[0] and text.depths(points[-1]["depths"]) in rows[-1]
    for gain, error in zip(found.response.gains[1], found.response.gain_errors[1]):
        assert text.measured(gain, error) in gained
