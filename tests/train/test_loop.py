"""The training loop, with a program that only counts: what it reports, saves and validates, and when it ends."""

import signal

import jax.numpy as jnp
import numpy as np
import pytest

from jaxstage.errors import Stopped, UserError
from jaxstage.report.monitor import NoMonitor
from jaxstage.train import TrainState
from jaxstage.train.loop import Pace, fit

PACE = Pace(steps=12, steps_per_epoch=6, log_every=4, save_every=5, at_once=3)


class Notes(NoMonitor):
    """Everything that a training run tells and saves, in order; in the place of monitor and store."""

    def __init__(self):
        self.said, self.saved = [], []

    def training(self, step, steps, metrics):
        self.said.append(("training", step, steps, metrics["loss"]))

    def validation(self, step, metrics):
        self.said.append(("validation", step, metrics["loss"]))

    def save(self, step, state):
        assert int(state.step) == step
        self.saved.append(step)

    def newest(self):
        return self.saved[-1] if self.saved else None


def train(notes, pace=PACE, start=0, loss=float, **options):
    """Trains; loss, of each step by its number from 1 on. Returns state and validation, whose loss is its step."""

    def program(state, number, count, key):
        assert int(state.step) == number
        losses = np.full(pace.at_once, np.nan, np.float32)  # what is not done says nothing
        losses[:count] = [loss(number + done + 1) for done in range(count)]
        return state.replace(step=state.step + count), {"loss": jnp.array(losses)}

    def evaluate(variables):
        return {"loss": float(notes.evaluated.append(1) or len(notes.evaluated)), "accuracy": 0.0}

    notes.evaluated = []
    state = TrainState(jnp.int32(start), params={}, batch_stats={}, opt_state=())
    options = {"stop_signal": lambda: None, **options}
    feed = lambda number, count: (number, count)
    return fit(state, program, evaluate, feed, pace, key=None, store=notes, monitor=notes, **options)


def test_a_dispatch_ends_where_something_is_due_between_steps():
    pace = Pace(steps=40, steps_per_epoch=20, log_every=8, save_every=15, at_once=6)
    done, ends = 0, []
    while done < pace.steps:
        done += pace.dispatch(done)
        ends.append(done)
    assert ends == [6, 8, 14, 15, 16, 20, 24, 30, 32, 38, 40]


def test_every_step_is_reported_once_and_before_what_comes_after_it():
    notes = Notes()
    state, validation = train(notes)
    assert int(state.step) == 12 and validation == {"loss": 2.0, "accuracy": 0.0}
    assert notes.said == [
        ("training", 4, 4, 2.5),  # at the save after 5 steps, with all that there is
        ("training", 5, 1, 5.0),
        ("training", 6, 1, 6.0),
        ("validation", 6, 1.0),
        ("training", 8, 2, 7.5),
        ("training", 10, 2, 9.5),
        ("training", 12, 2, 11.5),
        ("validation", 12, 2.0),
    ]
    assert notes.saved == [5, 10, 12]


def test_a_training_that_goes_on_does_the_rest():
    notes = Notes()
    state, _ = train(notes, start=10)
    assert int(state.step) == 12 and notes.said == [("training", 12, 2, 11.5), ("validation", 12, 1.0)]


def test_one_that_goes_on_after_an_epoch_tells_its_validation_once_more():
    """A kill may have come after the save and before that."""
    notes = Notes()
    train(notes, start=6)
    assert notes.said[0] == ("validation", 6, 1.0) and len(notes.evaluated) == 2
    state, validation = train(notes := Notes(), start=12)
    assert int(state.step) == 12 and notes.said == [("validation", 12, 1.0)] and validation["loss"] == 1.0


def test_a_training_that_ends_within_an_epoch_is_saved_and_not_validated():
    notes = Notes()
    state, validation = train(notes, PACE._replace(steps=8))
    assert int(state.step) == 8 and notes.saved == [5, 8]
    assert validation is None and len(notes.evaluated) == 1


def test_a_signal_saves_first():
    notes, signals = Notes(), iter([None, signal.SIGTERM])
    with pytest.raises(Stopped) as stopped:
        train(notes, stop_signal=lambda: next(signals))
    assert stopped.value.signal == signal.SIGTERM
    assert notes.saved == [4] and notes.said == [("training", 4, 4, 2.5)]


def test_a_loss_that_is_not_finite_is_told_with_its_step_and_never_saved():
    notes = Notes()
    with pytest.raises(UserError, match="the loss became nan at step 9; the last good state is 5"):
        train(notes, loss=lambda step: np.nan if step >= 9 else 1.0)
    assert notes.saved == [5]
    with pytest.raises(UserError, match="the loss became inf at step 1; the last good state is the initial one"):
        train(Notes(), loss=lambda step: np.inf)


@pytest.mark.parametrize("start", [0, 6])
def test_enough_is_asked_between_epochs_and_ends_a_resumed_training_at_the_same_step(start):
    asked = []
    state, validation = train(Notes(), start=start, enough=lambda done, state: asked.append(done) or True)
    assert asked == [6] and int(state.step) == 6 and validation == {"loss": 1.0, "accuracy": 0.0}


def test_the_end_of_every_epoch_is_seen_before_it_is_asked_whether_that_is_enough():
    seen = []
    options = dict(
        see=lambda done, state, validation: seen.append((done, int(state.step), validation["loss"])),
        enough=lambda done, state: seen.append("enough?") or done == 12,
    )
    train(Notes(), PACE._replace(steps=18), **options)
    assert seen == [(6, 6, 1.0), "enough?", (12, 12, 2.0), "enough?"]
    seen.clear()
    train(Notes(), PACE._replace(steps=18), start=12, **options)  # a kill may have come before the end was seen
    assert seen == [(12, 12, 1.0), "enough?"]
