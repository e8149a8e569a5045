"""jaxstage/report/console.py: what a run says."""

from dataclasses import replace

import pytest

from jaxstage.report.console import Progress, Reporter
from jaxstage.workdir.confusion import Confusion
from jaxstage.workdir.record import Candidate, Record, Round, StageDecision

ACCURATE = {"loss": 1.0, "accuracy": 0.5}
START = Candidate("r00_start", "start", (1, 2), None, 1000, 20_000, ACCURATE, seconds={"training": 1.0}, steps=5)
PROBE = replace(START, name="r01_probe", role="probe", depths=(2, 3), validation={"loss": 0.5, "accuracy": 0.75})
GROWN = replace(START, name="r01_grown", role="grown", depths=(2, 2), parent="r01_probe", validation=None, steps=None)
COMPARED = StageDecision(0.5, 0.01, 0.75, 0.02, 0.25, 0.03, True, "rise above", 0.25, 0.03, "rise")
FELL_SHORT = StageDecision(0.5, 0.01, None, None, None, None, True, "it does", 0.125, 0.03, "shortfall")
ADDED = StageDecision(None, None, 0.75, 0.02, None, None, True, "it pays", 0.75, 0.02, "importance")


def table_of(capsys, decision, probe):
    """(headings, the first stage's cells, the line below) of a round that grows the first stage."""
    stays = replace(decision, grows=False, why="it stays")
    record = Record((START, PROBE, GROWN), (Round("r00_start", probe, (decision, stays), "r01_grown"),))
    Reporter().round(record, record.rounds[0])
    out = capsys.readouterr().out
    head = next(line for line in out.splitlines() if line.startswith("┃"))
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert [row.split("│")[-3].strip() for row in rows] == ["yes", "no"]
    cells = lambda line, bar: [cell.strip() for cell in line.split(bar)[1:-1]]
    return cells(head, "┃"), cells(rows[0], "│"), out.splitlines()[-1]


def test_a_round_with_a_probe_shows_scores_and_their_rise(capsys):
    head, row, below = table_of(capsys, COMPARED, "r01_probe")
    assert head == ["stage", "depth", "importance before", "after (probe)", "rise", "grown", "why"]
    assert row == ["1", "1 -> 2", "0.500 ± 0.010", "0.750 ± 0.020", "+0.25 ± 0.03", "yes", "rise above"]
    assert below.startswith("depths (1, 2) -> (2, 2), parameters 1,000 -> 1,000, MACs 20,000 -> 20,000; ")
    assert below.endswith("validation accuracy 50.00%, probe 75.00%; 2 models trained, 0.0 s")


def test_evidence_that_is_in_no_other_column_has_one_of_its_own(capsys):
    head, row, below = table_of(capsys, FELL_SHORT, None)
    assert head[2:5] == ["importance", "shortfall", "grown"] and row[2:4] == ["0.500 ± 0.010", "+0.125 ± 0.03"]
    assert "validation accuracy 50.00%; 2 models" in below  # there is no probe to tell of


def test_evidence_that_is_the_importance_has_none(capsys):
    head, row, _ = table_of(capsys, ADDED, "r01_probe")
    assert head[2:4] == ["importance of the added blocks", "grown"] and row[2] == "0.750 ± 0.020"


@pytest.mark.parametrize(
    "changes, told",
    [
        ({}, "r00_start: depths (1, 2), 1,000 parameters, 20,000 MACs, from scratch, 3 epochs"),
        ({"parent": "source"}, "20,000 MACs, inherits from source, 3 epochs"),
        ({"separable_macs": 5000}, "20,000 (15,000 without separable convolutions) MACs"),
        ({"latency_ms": 1.25}, "20,000 MACs, 1.25 ms, from scratch"),
    ],
)
def test_a_candidate_is_a_line(capsys, changes, told):
    Reporter().candidate(replace(START, **changes), epochs=3)
    assert told in capsys.readouterr().out


def test_who_wants_quiet_hears_warnings_alone(capsys):
    reporter = Reporter(quiet=True)
    reporter.say("something")
    reporter.warn("[bold]a disk[/bold] is full")
    out, err = capsys.readouterr()
    assert out == "" and err == "warning: [bold]a disk[/bold] is full\n"


def test_a_class_without_images_has_no_accuracy(capsys):
    Reporter().evaluation(
        {
            "source": "runs/one",
            "data": "digits",
            "split": "test",
            "examples": 1234,
            "loss": 1.25,
            "depths": (1, 2),
            "parameters": 1000,
            "trainable_parameters": 990,
            "macs": 20_000,
            "conv_dense_macs": 15_000,
            "latency_ms": {1: 2.5, 32: 10.0},
            "device": "cpu",
        },
        Confusion(("zero", "one"), ((5, 5), (0, 0))),
    )
    out = capsys.readouterr().out
    assert "1,234 images: accuracy 50.00% (95% interval 23.66% to 76.34%), mean over classes 50.00%, loss 1.2500" in out
    rows = [line.split("│")[1:5] for line in out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["zero", "5", "10", "50.00%"],
        ["one", "0", "0", "no images"],
    ]
    assert "most often mistaken: zero for one (5 of 10)" in out
    assert "latency on cpu: 2.50 ms for 1, 10.00 ms for 32" in out


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("jaxstage.report.console.time.monotonic", lambda: now[0])
    progress = Progress(Reporter(), "r00_start", steps=30, start=0, steps_per_epoch=10)
    progress.training(10, {"loss": 2.0, "accuracy": 0.25, "images_per_second": 1234.5})
    progress.validation(10, {"loss": 1.5, "accuracy": 0.5})  # too early for a line
    assert capsys.readouterr().out == ""
    now[0] += 6.0
    progress.validation(20, {"loss": 1.25, "accuracy": 0.5})
    progress.validation(30, {"loss": 1.0, "accuracy": 0.625})  # the last one is always told
    progress.close()
    first, last = filter(None, capsys.readouterr().out.splitlines())  # rich before 15 ends with an empty line
    told = "loss 2.000  accuracy 25.0%  1,234 images/s"
    assert first == f"  r00_start  epoch 2/3  {told}  validation loss 1.250  accuracy 50.00%"
    assert "epoch 3/3" in last and "validation loss 1.000  accuracy 62.50%" in last
