"""Everything that wants to know how a training goes, told by the training loop."""
import pathlib
import time
from typing import Callable

from jaxstage.report.console import Progress, Reporter
from jaxstage.report.metrics import MetricsLog


class Monitor:
    """Sends a training's metrics to the console and to the files; a context manager around one training."""

    def __init__(
        self, reporter: Reporter, workdir: pathlib.Path, candidate: str, *, start: int, steps: int,
        steps_per_epoch: int, batch_size: int, learning_rate: Callable,
    ):  # fmt: skip
        """Args: start and steps, from and up to which step; learning_rate, by step."""
        self._log = MetricsLog(workdir, candidate, start)
        self._progress = Progress(reporter, candidate, steps, start, steps_per_epoch)
        self._batch_size, self._learning_rate = batch_size, learning_rate
        self._last_report = None  # the first report's time is mostly compilation: no speed from that

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._progress.close()
        self._log.close()

    def training(self, step: int, steps: int, metrics: dict):
        """Means over the last `steps` steps up to `step`."""
        now = time.monotonic()
        metrics = {**metrics, "learning_rate": float(self._learning_rate(step - 1))}
        if self._last_report is not None:
            metrics["images_per_second"] = steps * self._batch_size / (now - self._last_report)
        self._last_report = now
        self._log.write("train", step, metrics)
        self._progress.training(step, metrics)

    def validation(self, step: int, metrics: dict):
        self._log.write("validation", step, metrics)
        self._progress.validation(step, metrics)

    def advance(self, step: int):
        self._progress.advance(step)
