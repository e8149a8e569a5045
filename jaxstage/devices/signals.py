"""Signals: told in a line and obeyed at once while a program starts, noted and answered with a save while a run goes on.

Nothing here imports anything heavy, so that a program can begin with it.
"""

import atexit
import contextlib
import os
import signal
import threading

# Ctrl-C, the scheduler's end and its early notice, a terminal that closes.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
_ending = threading.Lock()


def tell_and_end() -> None:
    """From here on each of SIGNALS ends this process at once, with one line and the exit code 128 + signal.

    A thread sees to that, as the main one may be deep in a library, where Python calls no handler: waiting for other
    hosts, say. Nor is anything raised, which whatever is being imported could catch. What is ignored stays ignored.
    After `stop_on_signal` the line says that everything is saved. Once the program has ended but for Python's own end,
    nothing is left that a signal could stop, and it is ignored.
    """
    if _end in map(signal.getsignal, SIGNALS) or os.name != "posix":
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    atexit.register(_ignore)  # the first to be registered is the last to be called
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


@contextlib.contextmanager
def stop_on_signal():
    """Yields a function that returns which of SIGNALS came, or None; a second one does what it did before.

    What is ignored stays ignored: nohup has SIGHUP so. After `tell_and_end` a second one ends the process without a
    word, during a long compilation, too, and one that comes later ends it with a line.
    """
    if threading.current_thread() is not threading.main_thread():  # where Python allows no signal handlers
        yield lambda: None
        return
    received = []

    def note(number, _):
        received.append(number)
        signal.signal(number, before[number])

    after = {number: signal.getsignal(number) for number in SIGNALS}
    after = {number: handler for number, handler in after.items() if handler != signal.SIG_IGN}
    # Not `_end`: its thread would take the first signal for the second.
    before = {number: signal.SIG_DFL if handler is _end else handler for number, handler in after.items()}
    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in after.items():
            signal.signal(number, _end_saved if handler is _end else handler)


def _watch(reading: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they are the main thread's, which may put them off
    while True:
        number = os.read(reading, 1)[0]
        if signal.getsignal(number) in (_end, _end_saved):
            signal.getsignal(number)(number)


def _end(number: int, _=None) -> None:
    _tell(number, " before there was anything to save; run the same command again")


def _end_saved(number: int, _=None) -> None:
    _tell(number, ", everything is saved; the same command continues")


def _tell(number: int, what: str) -> None:
    if not _ending.acquire(blocking=False):  # the other thread is at it
        return
    with contextlib.suppress(OSError):
        os.write(2, f"stopped by signal {int(number)}{what}\n".encode())
    os._exit(128 + number)


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
