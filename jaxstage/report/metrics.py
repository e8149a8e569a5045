"""metrics.jsonl and TensorBoard files of a work directory."""

import json
import pathlib
import time

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from jaxstage.files import explaining_a_failed_write, read_if_there, retried, write_text
from jaxstage.report import curves


class MetricsLog:
    """Appends to WORKDIR/metrics.jsonl and WORKDIR/tensorboard/<candidate>/ while one candidate trains."""

    def __init__(self, workdir: pathlib.Path, candidate: str, start: int):
        """Args: workdir; candidate, its name; start, the step it continues from: what was logged beyond it goes."""
        self._candidate = candidate
        self._path = workdir / curves.FILE
        _rewind(self._path, candidate, start)
        with self._explaining():
            self._file = retried(lambda: open(self._path, "a"), f"opening {self._path}")
            folder = workdir / "tensorboard" / candidate
            self._tensorboard = retried(lambda: _events(folder), f"opening {folder}")
            # TensorBoard hides what an earlier, killed session logged from this step on.
            self._tensorboard.write_event(Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, split: str, step: int, metrics: dict):
        line = {"candidate": self._candidate, "split": split, "step": step, **metrics}
        with self._explaining():
            self._file.write(json.dumps(line) + "\n")
            self._flush(self._file)
            for name, value in metrics.items():
                event = Event(wall_time=time.time(), step=step, summary=scalar(f"{split}/{name}", value))
                self._tensorboard.write_event(event)
            self._flush(self._tensorboard)

    def close(self):
        with self._explaining():
            self._file.close()
            self._tensorboard.close()

    def _flush(self, file):
        # What could not be written stays in the file's buffer for the next try.
        retried(file.flush, f"writing {self._path}")

    def _explaining(self):
        return explaining_a_failed_write(f"logging to {self._path.parent}")


def _events(folder: pathlib.Path) -> EventsWriter:
    folder.mkdir(parents=True, exist_ok=True)
    # Not SummaryWriter: its background thread dies of a full disk and then blocks the training.
    return EventsWriter(str(folder / "events"))


def _rewind(path: pathlib.Path, candidate: str, step: int):
    """Drops what a killed run logged of steps that are done again, and a line that it did not finish.

    What it logged of the validation of `step` goes, too: the run, which cannot know of it, tells it once more. A damaged line
    stays: nothing says what it was about.
    """
    contents = read_if_there(path, errors="replace")
    if contents is None:
        return
    again = lambda line: (
        line is not None
        and line["candidate"] == candidate
        and (line["step"] > step or line["step"] == step and line["split"] == "validation")
    )
    whole, _ = curves.split(contents)
    write_text(path, "".join(f"{raw}\n" for raw in whole if not again(curves.parsed(raw))))
