"""How a command ends: whatever a person can mend is one line on standard error and an exit code that is not zero."""
import contextlib
import signal
import sys

from jaxstage.errors import Stopped, UserError, is_disk_full


def quiet() -> None:
    """Leaves no tracebacks of a Ctrl-C, nor the libraries' own notes; what matters of them is raised and told here."""
    from absl import logging

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logging.set_verbosity(logging.FATAL)


@contextlib.contextmanager
def clear_ends():
    """Ends the program after a UserError, a stop by a signal or a full disk; other errors are bugs and pass through."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {one_line(str(error))}")
    except Stopped as stopped:
        print(f"stopped by signal {stopped.signal}, everything is saved; the same command continues", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except OSError as error:
        if not is_disk_full(error):
            raise
        sys.exit(f"error: the disk is full ({error.filename}): free some space and run the same command again")


def one_line(text: str) -> str:
    return " ".join(text.split())
