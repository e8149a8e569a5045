"""How a command ends: whatever a person can mend is one line on standard error and an exit code that is not zero."""

import contextlib
import errno
import logging
import signal
import sys
import warnings

from jaxstage.errors import JaxstageWarning, OwnCodeError, Stopped, UserError, is_disk_full, printable

OF_THE_MACHINE = (
    errno.EACCES,
    errno.EPERM,
    errno.EEXIST,
    errno.EROFS,
    errno.EIO,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ESTALE,
)
LONGEST = 2000  # characters of a line


def quiet() -> None:
    """Leaves no tracebacks of a Ctrl-C, nor the libraries' own notes; what matters of them is raised and told here."""
    from absl import logging as absl_logging

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    absl_logging.set_verbosity(absl_logging.FATAL)
    # After one failed write, of a full disk say, Orbax closes its event loop under the other writes of a checkpoint, so
    # that nobody can wait for them any more. asyncio and TensorStore complain of each; the save itself raises the
    # error. Others it never begins.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.unraisablehook = _tell_unless_late


@contextlib.contextmanager
def clear_ends():
    """Ends the program after a UserError, a stop by a signal, or a disk that is full, fails or refuses.

    A JaxstageWarning is a line on standard error. Other errors are bugs and pass through.
    """
    try:
        with _brief_warnings():
            yield
    except OwnCodeError as error:
        sys.exit(f"error: {one_line(str(error))}\n{error.trace}")
    except UserError as error:
        sys.exit(f"error: {one_line(str(error))}")
    except Stopped as stopped:
        print(f"stopped by signal {stopped.signal}, everything is saved; the same command continues", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except OSError as error:
        if error.filename is not None and error.errno in OF_THE_MACHINE:
            sys.exit(f"error: cannot use {error.filename} ({error.strerror}): mend that and run the same command again")
        if not is_disk_full(error):
            raise
        sys.exit(f"error: the disk is full ({error.filename}): free some space and run the same command again")


@contextlib.contextmanager
def _brief_warnings():
    def show(message, category, *where):
        if issubclass(category, JaxstageWarning):
            print(f"warning: {one_line(str(message))}", file=sys.stderr)
        else:
            show_others(message, category, *where)

    with warnings.catch_warnings():
        warnings.simplefilter("always", JaxstageWarning)
        show_others, warnings.showwarning = warnings.showwarning, show
        yield


def _tell_unless_late(event) -> None:
    # TensorStore has no owner to name, unlike a finalizer that fails in this way.
    loop_closed = event.object is None and repr(event.exc_value) == "RuntimeError('Event loop is closed')"
    # After one failed read Orbax ends the others of a checkpoint, and makes errors of their ends.
    read_ended = isinstance(getattr(event.exc_value, "__cause__", None), GeneratorExit)
    if not (loop_closed or read_ended):
        sys.__unraisablehook__(event)


def one_line(text: str) -> str:
    """A text as one line of a terminal, without its control characters and the middle of a very long one."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 300]} ... {text[-290:]}"
