"""The signals that end a run early."""

import os
import signal

import pytest

from jaxstage.run import SIGNALS, stop_on_signal


@pytest.fixture
def handled():
    """What handles each signal during a test: nothing that would end it."""
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_noted_and_a_second_does_what_it_did_before(handled, number):
    came = []
    signal.signal(number, lambda *_: came.append("before"))
    with stop_on_signal() as stop_signal:
        assert stop_signal() is None
        os.kill(os.getpid(), number)
        assert stop_signal() == number and not came
        os.kill(os.getpid(), number)
        assert came == ["before"]
    os.kill(os.getpid(), number)
    assert came == ["before"] * 2


def test_what_is_ignored_stays_ignored(handled):
    """nohup starts a program in this way."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signal() as stop_signal:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop_signal() is None
