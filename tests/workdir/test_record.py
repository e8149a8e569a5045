import json
from dataclasses import replace

import pytest

from jaxstage.errors import UserError
from jaxstage.files import write_json
from jaxstage.importance import Scores
from jaxstage.workdir import record as records
from jaxstage.workdir.claim import RECORD as FILE
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


@pytest.mark.parametrize("record", [RECORD, UNCOMPARED])
def test_what_is_saved_is_loaded(tmp_path, record):
    records.save(record, tmp_path)
    assert records.load(tmp_path) == record


def test_no_file_is_an_empty_record(tmp_path):
    assert records.load(tmp_path) == Record()


@pytest.mark.parametrize("text", ["", "{", "{}", '{"format": 99}', '{"format": 1, "candidates": [{"x": 1}]}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match="search.json is damaged"):
        records.load(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    records.save(RECORD, tmp_path)
    with pytest.raises(TypeError):
        write_json(tmp_path / FILE, {"not json": object()})
    assert json.loads((tmp_path / FILE).read_text())["seconds"] == 2.5
