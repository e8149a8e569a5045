"""The training loop."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jaxstage.errors import Stopped, UserError
from jaxstage.train.state import TrainState


class Pace(NamedTuple):
    """How long a training run is, how often it reports and saves, and how much it does at once; in steps."""

    steps: int
    steps_per_epoch: int
    log_every: int
    save_every: int
    at_once: int = 1

    def dispatch(self, number: int) -> int:
        """How many steps to do at once after `number` of them: up to what is next to be done between steps."""
        due = (every - number % every for every in (self.steps_per_epoch, self.log_every, self.save_every))
        return min(self.steps - number, self.at_once, *due)


def fit(
    state: TrainState,
    program: Callable,
    evaluate: Callable,
    feed: Callable,
    pace: Pace,
    key: jax.Array,
    store,
    monitor,
    stop_signal: Callable[[], int | None],
    enough: Callable[[int, TrainState], bool] = lambda done, state: False,
    see: Callable[[int, TrainState, dict], None] = lambda done, state, validation: None,
) -> tuple[TrainState, dict | None]:
    """Trains from `state` up to step `pace.steps`, or the end of an earlier epoch, saving on the way.

    Nothing but `state`, `feed` and `key` decides the result, so one that continues from a checkpoint ends with
    the same bits as one that was never stopped. Metrics are fetched one report late, so the device never waits.

    Args:
      state: where to start, before step `pace.steps`.
      program: `program(state, *feed(number, count), key) -> (state, metrics)`, which does `count` steps.
      evaluate: `evaluate(variables) -> {loss, accuracy}` on the validation split.
      feed: the examples and rates of steps by their number, see `jaxstage.train.inputs`.
      pace: length and intervals.
      key: of this training.
      store: where checkpoints go, see `jaxstage.workdir.checkpoint.Store`.
      monitor: told of everything: `training(step, steps, metrics)`, `validation(step, metrics)`, `advance(step)`.
      stop_signal: number of the signal that asks to stop, or None.
      enough: `enough(done, state)`, by these alone: whether to leave it at that, asked before every epoch but the first.
      see: `see(done, state, validation)` is told of the end of every epoch, before that.

    Returns:
      The trained state, and its {loss, accuracy} on the validation split; None if it ends within an epoch.

    Raises:
      UserError: the loss is no longer finite; the last checkpoint is from before.
      Stopped: a signal came; the state is saved.
    """
    reports, done, validation = _Reports(monitor, store), int(state.step), None
    if done and done % pace.steps_per_epoch == 0:  # a kill may have come between this save and what is told here
        validation = _validate(done, state, evaluate, monitor, see)
    while done < pace.steps:
        if done and done % pace.steps_per_epoch == 0 and enough(done, state):
            break
        count = pace.dispatch(done)
        state, metrics = program(state, *feed(done, count), key)
        reports.add(done, count, metrics)
        done, signal = done + count, stop_signal()
        if done % pace.log_every == 0:
            reports.send()
        if done % pace.save_every == 0 or done == pace.steps or signal:
            reports.send_all()  # a state whose loss is not finite is never saved
            store.save(done, state)
        if signal:
            raise Stopped(signal)
        if done % pace.steps_per_epoch == 0:
            reports.send_all()
            validation = _validate(done, state, evaluate, monitor, see)
        monitor.advance(done)
    return state, None if done % pace.steps_per_epoch else validation or evaluate(state.variables)


def _validate(done: int, state: TrainState, evaluate: Callable, monitor, see: Callable) -> dict:
    """{loss, accuracy} on the validation split, of which monitor and `see` are told."""
    found = evaluate(state.variables)
    monitor.validation(done, found)
    see(done, state, found)
    return found


class _Reports:
    """Collects the steps' metrics on the device and hands their means to the monitor, one report behind."""

    def __init__(self, monitor, store):
        self._monitor, self._store, self._filling, self._ready = monitor, store, [], None

    def add(self, done: int, count: int, metrics: dict):
        """The metrics of the `count` steps after `done`, the first `count` values of each."""
        self._filling.append((done, count, metrics))

    def send(self):
        """Hands over the report before this one, whose values have had time to arrive."""
        ready, self._ready, self._filling = self._ready, self._filling, []
        if not ready:
            return
        fetched = jax.device_get([metrics for _, _, metrics in ready])
        parts = [(done, count, metrics) for (done, count, _), metrics in zip(ready, fetched)]
        values = {name: np.concatenate([metrics[name][:count] for _, count, metrics in parts]) for name in fetched[0]}
        first, last = parts[0][0] + 1, parts[-1][0] + parts[-1][1]
        wrong = np.flatnonzero(~np.isfinite(values["loss"]))
        if wrong.size:
            raise UserError(
                f"the loss became {values['loss'][wrong[0]]} at step {first + wrong[0]}; the last good state is "
                f"{self._store.newest() or 'the initial one'}. Lower config.optimizer.learning_rate or lengthen "
                "the warm-up (warmup_epochs), in a new --workdir"
            )
        means = {name: float(np.mean(column)) for name, column in values.items()}
        self._monitor.training(last, last - first + 1, means)

    def send_all(self):
        self.send()
        self.send()
