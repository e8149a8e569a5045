"""The signals that end a run early."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from jaxstage.devices.signals import SIGNALS, stop_on_signal


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


def ended(program: str, *arguments) -> tuple[int, str]:
    """Exit code and standard error of a program; it must not say anything else."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert process.stdout == ""
    return process.returncode, process.stderr


def told(number: int) -> tuple[int, str]:
    line = f"stopped by signal {number} before there was anything to save; run the same command again\n"
    return 128 + number, line


# Sends a signal to itself when a module is imported.
AT_AN_IMPORT = """
import os, runpy, sys
from jaxstage.devices import signals  # what its own import meets is Python's to answer
start, module, number, *sys.argv[1:] = sys.argv[1:]

class At:
    def find_spec(name, path, target=None):
        if name == module:
            sys.meta_path.remove(At)
            os.kill(os.getpid(), int(number))

sys.meta_path.insert(0, At)
runpy.run_module(start, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "start, module, number",
    [
        ("jaxstage.main", "absl", signal.SIGINT),
        ("jaxstage.main", "jax", signal.SIGTERM),
        ("jaxstage.main", "jaxstage.depth_search.driver", signal.SIGUSR1),
        ("jaxstage", "click", signal.SIGINT),
        ("jaxstage.report", "jinja2", signal.SIGHUP),
    ],
)
def test_while_a_program_starts_a_signal_ends_it_with_a_line(start, module, number, tmp_path, digits_run):
    flags = {
        "jaxstage.main": ["--config=configs/digits.py", "--config.compilation_cache=", f"--workdir={tmp_path / 'run'}"],
        "jaxstage": ["configs"],
        "jaxstage.report": [digits_run, f"--out={tmp_path / 'page.html'}"],
    }[start]
    assert ended(AT_AN_IMPORT, start, module, int(number), *flags) == told(number)
    assert not list(tmp_path.iterdir())


def test_it_ends_in_the_middle_of_a_library_that_waits():
    """As jax.distributed does for other hosts. A mutex that is locked twice waits for ever, signals or not."""
    program = """
import ctypes, os, signal, threading
from jaxstage.devices.signals import tell_and_end
tell_and_end()
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
mutex, lock = ctypes.create_string_buffer(256), ctypes.CDLL(None).pthread_mutex_lock
lock(mutex), lock(mutex)
"""
    assert ended(program) == told(signal.SIGTERM)


def test_a_signal_while_the_program_starts_itself_once_more_is_told_by_the_new_one():
    program = """
import os, signal, time
from jaxstage.devices.cpu import host_memory
from jaxstage.devices.signals import tell_and_end
first, execv = os.environ.pop("AGAIN", None) is None, os.execv

def begin(*arguments):
    os.environ["AGAIN"] = ""
    os.kill(os.getpid(), signal.SIGTERM)
    execv(*arguments)

os.execv, host_memory.wanted_tunables = begin, lambda: "glibc.malloc.hugetlb=0" if first else None
tell_and_end()
host_memory.use_huge_pages()
time.sleep(60)
"""
    assert ended(program) == told(signal.SIGTERM)


def test_what_nohup_ignores_ends_no_start_and_a_run_saves_at_the_first_signal():
    program = """
import os, signal, time
from jaxstage.devices.signals import stop_on_signal, tell_and_end
signal.signal(signal.SIGHUP, signal.SIG_IGN)
tell_and_end()
os.kill(os.getpid(), signal.SIGHUP)
with stop_on_signal() as stop_signal:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)  # for the thread, which has nothing to say any more
    assert stop_signal() == signal.SIGINT
    os.kill(os.getpid(), signal.SIGINT)
"""
    assert ended(program) == (-signal.SIGINT, "")


def test_after_a_run_the_line_says_that_all_is_saved():
    program = """
import os, signal
from jaxstage.devices.signals import stop_on_signal, tell_and_end
tell_and_end()
with stop_on_signal():
    pass
os.kill(os.getpid(), signal.SIGTERM)
"""
    line = "stopped by signal 15, everything is saved; the same command continues\n"
    assert ended(program) == (128 + signal.SIGTERM, line)


@pytest.mark.parametrize("number", SIGNALS)
def test_one_that_comes_when_only_python_has_to_end_changes_nothing(number):
    """Python gives up its handlers before it takes modules apart, and does not ask what they were for."""
    program = """
import os, sys
from jaxstage.devices.signals import stop_on_signal, tell_and_end

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=int(sys.argv[1]), say=os.write):
        say(2, b"late")
        kill(pid, number)

tell_and_end()
with stop_on_signal():
    pass
late = Late()
"""
    assert ended(program, int(number)) == (0, "late")
