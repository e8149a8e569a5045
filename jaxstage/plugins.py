"""What users bring along: a model family, an importance method, a growth rule or a data set, named MODULE:FUNCTION.

docs/extending.md has an example of each. Such a name is an import, so it runs code: one's own config may ask for that,
a work directory from somebody else may not.
"""

import contextlib
import importlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from jaxstage.errors import OwnCodeError, Stopped, UserError, brief, is_disk_full


def is_own(name: str) -> bool:
    """Whether a name in the config stands for something outside jaxstage."""
    return ":" in name


def find(name: str) -> Any:
    """The function (or, of a growth rule, the object) of a name MODULE:FUNCTION.

    Raises:
      UserError: it cannot be imported, or that raises an error, see `running`.
    """
    module, _, function = name.partition(":")
    remedy = "give MODULE:FUNCTION of a module on PYTHONPATH"
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise UserError(f"{name!r} cannot be imported (no name of a function): {remedy}")
    with running(name):
        try:
            return getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"{name!r} cannot be imported ({error}): {remedy}") from error


def function(name: str, expected: str) -> Callable:
    """`find`, of something that can be called.

    Args:
      name: MODULE:FUNCTION.
      expected: what it has to be, in words.

    Raises:
      UserError: it cannot, or as for `find`.
    """
    found = find(name)
    if not callable(found):
        raise UserError(f"{name} is {shown(found)}: expected {expected}")
    return found


def result(name: str, call: Callable[[], Any], kind: Any, expected: str, part: str = "") -> Any:
    """What code of the user's own returns.

    Example:
      result("mine:stripes", find("mine:stripes"), Source, "a Source")

    Args:
      name: MODULE:FUNCTION.
      call: runs it.
      kind: the type, or types, of what it has to return.
      expected: the same in words.
      part: which of its methods is run, ".decide".

    Raises:
      UserError: it returns something else, or raises an error, see `running`.
    """
    with running(name):
        found = call()
    if not isinstance(found, kind):
        raise UserError(f"{name}{part} returned {shown(found)}: expected {expected}")
    return found


@contextlib.contextmanager
def running(name: str) -> Iterator[None]:
    """While what a name MODULE:FUNCTION stands for runs: says of an error that it is that one's.

    Raises:
      OwnCodeError: it raised an error that is not meant for the user.
    """
    try:
        yield
    except (UserError, Stopped):
        raise
    except Exception as error:
        if is_disk_full(error):
            raise
        raise OwnCodeError(name, error) from error


def shown(value: Any) -> str:
    """A value for an error, at most 60 characters of it."""
    text = " ".join(brief(value).split())
    return f"{text[:57]}... ({type(value).__name__})" if len(text) > 60 else f"{text} ({type(value).__name__})"


def trusted_by(config) -> bool | tuple[str, ...]:
    """What may be imported for a run: everything with `trust_source`, else what its own config names."""
    return config.trust_source or (config.model.family, config.data.name)


def require_trust(name: str, workdir: str, trust: bool | Collection[str]) -> None:
    """Raises UserError if a name that a work directory brought along stands for code that nobody here asked for."""
    if is_own(name) and trust is not True and name not in (trust or ()):
        raise UserError(
            f"{workdir} names {name!r}, which would be imported and run: if you trust where it comes from, add "
            "--config.trust_source=True (from Python trust=True); otherwise leave it alone"
        )
