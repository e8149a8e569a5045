"""Early stopping: the best epoch of a training run is kept, and the run ends when none has been better for some time.

The best state has checkpoints of its own, beside those of the training. A run that goes on from a checkpoint takes up
both, and ends at the same step with the same bits.
"""

from collections.abc import Callable
from typing import Any

from jaxstage.errors import UserError
from jaxstage.train.state import TrainState


class NoPatience:
    """A training run that goes to its planned end, and hands over its last state; what `Patience` is for the others."""

    def resume(self, state: TrainState | None) -> TrainState | None:
        return state

    def see(self, done: int, state: TrainState, validation: dict) -> None:
        pass

    def is_over(self, done: int, state: TrainState) -> bool:
        return False

    def result(self, state: TrainState, validation: dict | None) -> tuple[TrainState, dict | None]:
        return state, validation

    def summary(self, done: int) -> tuple[str, ...]:
        return ()


class Patience(NoPatience):
    """One that ends after some epochs without a better one. Better is a higher validation accuracy; of equal ones, a lower
    loss."""

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        store,
        like: Any,
        evaluate: Callable[[Any], dict],
        warn: Callable[[str], None],
    ):
        """Args: epochs, without a better one; store, for the best state, see `jaxstage.workdir.checkpoint.Store`; like, the
        shapes, dtypes and shardings of a state; evaluate, of variables; warn, takes one line of text."""
        self._steps, self._steps_per_epoch = epochs * steps_per_epoch, steps_per_epoch
        self._store, self._like, self._evaluate, self._warn = store, like, evaluate, warn
        self._best: tuple[int, dict] | None = None  # its step and validation

    def resume(self, state: TrainState | None) -> TrainState | None:
        """Takes up what is known of the best so far; the state to go on from, or None to begin anew: if the best state is
        lost, which one it was is not known."""
        if state is None:
            return None
        kept = self._store.restore(self._like, self._warn)
        if kept is not None:
            self._best = int(kept.step), self._evaluate(kept.variables)
        elif int(state.step) > self._steps_per_epoch:  # at its end a kill may have come before the first was kept
            self._warn(f"the best epoch is not in {self._store.directory}: training begins anew")
            return None
        return state

    def see(self, done: int, state: TrainState, validation: dict) -> None:
        """Looks at the state at the end of an epoch, and keeps it if it is the best."""
        if self._best is None or done > self._best[0] and _rank(validation) > _rank(self._best[1]):
            self._best = done, validation
            self._store.save(done, state)
            self._store.finish()  # before a later checkpoint of the training can be complete

    def is_over(self, done: int, state: TrainState) -> bool:
        """Whether the last epochs were no better than one before them."""
        return self._best is not None and done - self._best[0] >= self._steps

    def result(self, state: TrainState, validation: dict | None) -> tuple[TrainState, dict | None]:
        """The best state, with the step of the last one, and its validation.

        Raises:
          UserError: it has been damaged just now.
        """
        kept = self._store.restore(self._like, self._warn)
        if kept is None or self._best is None:
            raise UserError(f"the best epoch is not in {self._store.directory}: run the same command again")
        return kept.replace(step=state.step), self._best[1]

    def summary(self, done: int) -> tuple[str, ...]:
        """What people are told after so many steps."""
        assert self._best
        epochs = (done // self._steps_per_epoch, self._best[0] // self._steps_per_epoch)
        return ("of {} epochs the best was number {}, which is handed over".format(*epochs),)


def _rank(validation: dict) -> tuple[float, float]:
    return validation["accuracy"], -validation["loss"]
