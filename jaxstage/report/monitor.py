"""Everything that wants to know how a training run goes, told by the training loop."""

import pathlib
import time

import numpy as np

from jaxstage.report.console import Progress, Reporter
from jaxstage.report.metrics import MetricsLog
from jaxstage.report.profiler import Profiler


class NoMonitor:
    """What a training run tells; here nobody listens, as where another process keeps the files."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def training(self, step: int, steps: int, metrics: dict):
        pass

    def validation(self, step: int, metrics: dict):
        pass

    def advance(self, step: int):
        pass


class Monitor(NoMonitor):
    """Sends a training run's metrics to the console and to the files; a context manager around one training run."""

    def __init__(
        self,
        reporter: Reporter,
        workdir: pathlib.Path,
        candidate: str,
        *,
        start: int,
        steps: int,
        steps_per_epoch: int,
        batch_size: int,
        rates: np.ndarray,
        profile: bool,
    ):
        """Args: start and steps, from and up to which step; rates, the learning rate of each step; profile, whether to trace."""
        self._log = MetricsLog(workdir, candidate, start)
        self._progress = Progress(reporter, candidate, steps, start, steps_per_epoch)
        self._profiler = Profiler(workdir / "profile" / candidate, start) if profile else None
        self._batch_size, self._rates = batch_size, rates
        self._done, self._last = start, None  # the first report's time is mostly compilation: no speed from that

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._profiler:
            self._profiler.close()
        self._progress.close()
        self._log.close()

    def training(self, step: int, steps: int, metrics: dict):
        """Means over the last `steps` steps up to `step`."""
        metrics = {**metrics, "learning_rate": float(self._rates[step - 1])}
        if rate := self._images_per_second():
            metrics["images_per_second"] = rate
        self._log.write("train", step, metrics)
        self._progress.training(step, metrics)

    def validation(self, step: int, metrics: dict):
        self._log.write("validation", step, metrics)
        self._progress.validation(step, metrics)

    def advance(self, step: int):
        self._done = step
        self._progress.advance(step)
        if self._profiler:
            self._profiler.advance(step)

    def _images_per_second(self) -> float | None:
        """Speed since the last report; by the steps done, because reports come late and sometimes two at once."""
        now, last = (self._done, time.monotonic()), self._last
        if last and last[0] == now[0]:
            return None
        self._last = now
        return last and (now[0] - last[0]) * self._batch_size / (now[1] - last[1])
