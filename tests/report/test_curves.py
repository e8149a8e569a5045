"""jaxstage/report/curves.py: what a metrics.jsonl says, and what of it is lost."""

import json

import pytest

from jaxstage.report import curves
from jaxstage.workdir.record import Candidate, Record

RECORD = Record(
    tuple(
        Candidate(name, "start", (1, 1), None, 1, 1, steps=steps) for name, steps in (("a", 20), ("b", 30), ("c", None))
    )
)
LINES = [
    {"candidate": name, "split": split, "step": step, "loss": 1.0, "accuracy": 0.5}
    for name, last in (("a", 20), ("b", 30), ("c", 10))
    for step in range(5, last + 1, 5)
    for split in (("train", "validation") if step % 10 == 0 else ("train",))
]


def written(workdir, lines, end=""):
    (workdir / curves.FILE).write_text("".join(json.dumps(line) + "\n" for line in lines) + end)
    return curves.lost(curves.read(workdir), RECORD)


def test_all_there_is_all_right_and_so_is_half_a_line_of_a_kill(tmp_path):
    assert written(tmp_path, LINES) == written(tmp_path, LINES, '{"candidate": "c", "sp') == []
    assert sum(map(len, curves.read(tmp_path).lines["b"].values())) == 9


@pytest.mark.parametrize(
    "kept, told",
    [
        (lambda at, line: at < 4, "a 16-20, b 1-30"),
        (lambda at, line: False, "a 1-20, b 1-30"),
        (lambda at, line: line["candidate"] != "a", "a 1-20"),
        (lambda at, line: line["step"] > 15, "a 1-20, b 1-20"),
        (lambda at, line: line["candidate"] != "b" or line["step"] not in (10, 15, 20), "b 6-25"),
        (lambda at, line: (line["candidate"], line["step"]) != ("b", 30), "b 26-30"),
    ],
)
def test_what_is_missing_is_named(tmp_path, kept, told):
    lines = [line for at, line in enumerate(LINES) if kept(at, line)]
    lost = f"metrics.jsonl: what was logged of these steps is missing, so the curves lack it: {told}"
    assert written(tmp_path, lines) == [lost]


def test_damaged_lines_are_counted_from_the_first(tmp_path):
    rows = [json.dumps(line) for line in LINES]
    rows[3:3] = ["\0" * 50, "null", '{"candidate": "a", "split": "train", "step": 5, "loss": "low", "accuracy": 0.5}']
    (tmp_path / curves.FILE).write_text("\n".join(rows) + "\n")
    found = curves.read(tmp_path)
    assert found.damaged == (4, 5, 6) and sum(map(len, found.lines["a"].values())) == 6
    assert curves.lost(found, RECORD) == ["metrics.jsonl: 3 lines damaged and left out (the first is line 4)"]


def test_no_file_of_a_run_that_has_trained_nothing_is_all_right(tmp_path):
    assert curves.lost(curves.read(tmp_path), Record()) == []
