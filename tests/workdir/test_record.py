import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from conftest import REPOSITORY

from jaxstage.errors import UserError
from jaxstage.files import write_json
from jaxstage.importance import Scores
from jaxstage.workdir import kept
from jaxstage.workdir import record as records
from jaxstage.workdir.claim import RECORD as FILE
from jaxstage.workdir.findings import Findings, Fitted, State
from jaxstage.workdir.record import Candidate, Record, Round, StageDecision

RECORD = Record(
    candidates=(
        Candidate("r00_start", "start", (1, 2), None, 10, 100, {"loss": 1.0, "accuracy": 0.5}, Scores(((0.1, 0.2),))),
        Candidate("r01_probe", "probe", (2, 3), "r00_start", 20, 200, seconds={"training": 1.5}),
    ),
    rounds=(Round("r00_start", "r01_probe", (StageDecision(1, 0, 2, 0, 1, 0, True, "because"),) * 2, "r01_probe"),),
    seconds=2.5,
)
UNCOMPARED = replace(
    RECORD,
    rounds=(replace(RECORD.rounds[0], decisions=(StageDecision(None, None, 2, 0, None, None, True, "so"),) * 2),),
)
FOUND = Findings(
    states=(State((1, 1), 1.0, 0.1, 0.5, 1.1, 10, 100), State((1, 2), 0.8, 0.1, 0.6, 0.9, 20, 200, 2.5)),
    response=Fitted((1, 1), 1.1, ((), (0.2,)), ((), (0.05,))),
    importance=(0.0, 0.2),
    importance_errors=(0.0, 0.05),
    frontier={"macs": ({"depths": (1, 1), "cost": 100, "loss": 1.1, "accuracy": 0.5},)},
    chosen=(1, 2),
    why="because",
)
READ = RECORD.replacing(replace(RECORD["r01_probe"], role="elastic", lower=(1, 1), found=FOUND, steps=10))


DIVERGED = RECORD.replacing(replace(RECORD["r00_start"], validation={"loss": 3.4e38, "accuracy": 0.1}))


@pytest.mark.parametrize("record", [RECORD, UNCOMPARED, READ, DIVERGED])
def test_what_is_saved_is_loaded(tmp_path, record):
    records.save(record, tmp_path)
    assert records.load(tmp_path) == record


def test_no_file_is_an_empty_record(tmp_path):
    assert records.load(tmp_path) == Record()


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data["rounds"][0].update(next="r07_grown"),
        lambda data: data["candidates"][0].update(depths=[1]),
        lambda data: data["candidates"][0].update(depths=None),
        lambda data: data.pop("test"),
        lambda data: data["candidates"][0].pop("macs"),
        lambda data: data["candidates"][0].update(name=0),
        lambda data: data["candidates"][0].update(validation={"loss": 1.0}),
        lambda data: data["candidates"][0].update(validation={"loss": 1e39, "accuracy": 0.1}),
        lambda data: data["candidates"][0].update(macs=10**19),
        lambda data: data["candidates"][1]["seconds"].update(training="long"),
        lambda data: data["candidates"][0]["scores"].update(samples=[[None, 0.1]]),
        lambda data: data["rounds"][0]["decisions"][0].update(grows="no"),
        lambda data: data["rounds"].append("r"),
        lambda data: data.update(format="1"),
        lambda data: data.update(candidates={}),
        lambda data: data.update(seconds=True),
    ],
    ids="round depths none test macs name validation float32 counts seconds samples grows rounds format candidates bool".split(),
)
def test_a_file_that_says_half_is_damaged(tmp_path, edit):
    records.save(RECORD, tmp_path)
    data = json.loads((tmp_path / FILE).read_text())
    edit(data)
    (tmp_path / FILE).write_text(json.dumps(data))
    assert records.load(tmp_path) == RECORD
    told = records.find(tmp_path).trouble
    assert re.fullmatch(r".*/search.json is damaged: search.json.copy is used in its place", told)
    (tmp_path / f"{FILE}.copy").write_text(json.dumps(data))
    with pytest.raises(
        UserError, match="search.json is damaged .* and search.json.copy is damaged, too: get one of them"
    ):
        records.load(tmp_path)


def test_a_role_that_nobody_knows_is_of_another_version(tmp_path):
    """A search that looked for its final network by that name would train one after the other."""
    records.save(RECORD, tmp_path)
    data = json.loads((tmp_path / FILE).read_text())
    data["candidates"][0]["role"] = "fin`l"
    kept.write(tmp_path / FILE, data)
    with pytest.raises(UserError, match="another version .role fin`l is not known here.: go on with the jaxstage"):
        records.load(tmp_path)
    assert records.load(tmp_path, newer=True).candidates[0].role == "fin`l"


def test_a_newer_file_is_looked_at_but_not_gone_on_from(tmp_path):
    records.save(READ, tmp_path)
    data = json.loads((tmp_path / FILE).read_text())
    data["rounds"][0]["decisions"][1]["own_score"] = 0.5
    data["candidates"][1]["found"]["states"][0]["unheard"] = 1
    kept.write(tmp_path / FILE, data)
    with pytest.raises(UserError, match="another version .State: unheard is not known here.: go on with the jaxstage"):
        records.load(tmp_path)
    record = records.load(tmp_path, newer=True)
    assert record["r01_probe"] == READ["r01_probe"]
    assert [decision.others for decision in record.rounds[0].decisions] == [{}, {"own_score": 0.5}]
    assert records.plain(record)["rounds"][0]["decisions"][1]["own_score"] == 0.5


def test_nobody_needs_jax_to_read_it():
    heavy = "{'jax', 'jaxlib', 'flax', 'optax', 'scipy'}"
    code = f"import sys, jaxstage.workdir.record, jaxstage.report.html.page; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=REPOSITORY).strip() == "[]"


def test_the_path_is_what_the_search_stood_on():
    assert [candidate.name for candidate in RECORD.path] == ["r00_start", "r01_probe"]
    open_again = replace(RECORD, rounds=(Round("r00_start", "r01_probe"),))
    assert [candidate.name for candidate in open_again.path] == ["r00_start"]
    alone = replace(RECORD.candidates[0], role="final")
    assert Record((alone,)).path == Record().path == ()


def test_models_are_what_was_trained_itself():
    assert [candidate.name for candidate in RECORD.models] == ["r00_start"]  # the probe is not trained yet
    assert [candidate.name for candidate in READ.models] == ["r01_probe"]  # the start was read only
    assert READ.last_read == READ["r01_probe"] and RECORD.last_read is None


DAMAGED = ["", "{", "{}", "\0" * 99, "[1]", "null", '{"format": 1, "candidates": [{"x": 1}]}', "[" * 9999]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match="search.json is damaged .* and search.json.copy is missing"):
        records.load(tmp_path)


def test_half_a_file_and_none_are_read_from_the_copy(tmp_path):
    records.save(RECORD, tmp_path)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert records.find(tmp_path).value == RECORD
    path.unlink()
    assert (
        records.load(tmp_path) == RECORD
        and "search.json is missing: search.json.copy" in records.find(tmp_path).trouble
    )


@pytest.mark.parametrize("newer", [False, True])
def test_another_version_is_no_damage(tmp_path, newer):
    records.save(RECORD, tmp_path)
    kept.write(tmp_path / FILE, {"format": 99})
    with pytest.raises(
        UserError, match="search.json is of another version .format 99, expected 1.*: go on with the jaxstage"
    ):
        records.load(tmp_path, newer)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    records.save(RECORD, tmp_path)
    with pytest.raises(TypeError):
        write_json(tmp_path / FILE, {"not json": object()})
    assert json.loads((tmp_path / FILE).read_text())["seconds"] == 2.5
