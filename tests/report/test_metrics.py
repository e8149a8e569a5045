"""jaxstage/report/metrics.py: what is logged, and what a run that was killed takes back."""

import errno
import io
import json
import time

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from jaxstage.errors import JaxstageWarning
from jaxstage.report.metrics import MetricsLog


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    """Those in all files of a folder, the older file first."""
    found = []
    for path in sorted(folder.iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):  # TFRecord: length, its checksum, the event, its checksum
            size = int.from_bytes(data[place : place + 8], "little")
            found.append(Event.FromString(data[place + 12 : place + 12 + size]))
            place += size + 16
    return found


def test_a_line_is_written_at_once_to_both(tmp_path):
    log = MetricsLog(tmp_path, "r00_start", 0)
    log.write("train", 10, {"loss": 1.5, "accuracy": 0.25})
    log.write("validation", 20, {"loss": 1.25})
    train = {"candidate": "r00_start", "split": "train", "step": 10, "loss": 1.5, "accuracy": 0.25}
    assert lines(tmp_path) == [train, {"candidate": "r00_start", "split": "validation", "step": 20, "loss": 1.25}]
    told = [
        (e.step, v.tag, v.simple_value) for e in events(tmp_path / "tensorboard/r00_start") for v in e.summary.value
    ]
    assert told == [(10, "train/loss", 1.5), (10, "train/accuracy", 0.25), (20, "validation/loss", 1.25)]
    log.close()


def test_what_was_logged_of_steps_that_are_done_again_goes(tmp_path):
    for candidate, steps in (("r00_start", (10, 20)), ("r01_probe", (10, 20, 30))):
        log = MetricsLog(tmp_path, candidate, 0)
        for step in steps:
            log.write("train", step, {"loss": 1.0})
        log.close()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"candidate": "r01_pr')  # where the kill came
    log = MetricsLog(tmp_path, "r01_probe", 15)
    log.write("train", 20, {"loss": 0.5})
    log.close()
    kept = [(line["candidate"], line["step"], line["loss"]) for line in lines(tmp_path)]
    assert kept == [("r00_start", 10, 1.0), ("r00_start", 20, 1.0), ("r01_probe", 10, 1.0), ("r01_probe", 20, 0.5)]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_the_validation_of_the_step_that_a_run_goes_on_from_is_looked_at_again(tmp_path):
    log = MetricsLog(tmp_path, "final", 0)
    log.write("train", 8, {"loss": 1.0})
    log.write("validation", 8, {"loss": 2.0})
    log.close()
    MetricsLog(tmp_path, "final", 8).close()
    assert [line["split"] for line in lines(tmp_path)] == ["train"]


def test_tensorboard_is_told_from_where_on_a_session_is_new(tmp_path):
    MetricsLog(tmp_path, "final", 40).close()
    starts = [e for e in events(tmp_path / "tensorboard" / "final") if e.HasField("session_log")]
    assert [(e.step, e.session_log.status) for e in starts] == [(41, SessionLog.START)]


def test_a_damaged_line_stays(tmp_path):
    damaged = b'null\n\x00\xff\n{"candidate": "final", "split": "train", "step": "x"}\n'
    (tmp_path / "metrics.jsonl").write_bytes(damaged + b'{"candidate": "final", "split": "train", "step": 20}\n{"can')
    MetricsLog(tmp_path, "final", 10).close()
    kept = (tmp_path / "metrics.jsonl").read_text(errors="replace").splitlines()
    assert kept == damaged.decode(errors="replace").splitlines()


def test_a_line_that_could_not_be_written_is_there_once_after_the_next_try(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    log = MetricsLog(tmp_path, "r00_start", 0)
    text_file = log._file

    class Failing(io.RawIOBase):
        times = 2

        def writable(self):
            return True

        def write(self, data):
            self.times -= 1
            if self.times >= 0:
                raise OSError(errno.EIO, "Input/output error")
            return text_file.buffer.raw.write(data)

    log._file = io.TextIOWrapper(io.BufferedWriter(Failing()))
    with pytest.warns(JaxstageWarning, match="metrics.jsonl failed .*Input/output error.: trying again"):
        log.write("train", 10, {"loss": 1.5})
    log.write("train", 20, {"loss": 1.25})
    log.close()
    assert [line["step"] for line in lines(tmp_path)] == [10, 20]
