"""What users bring along: a model family, an importance method or a data set that the config names MODULE:FUNCTION.

docs/extending.md has an example of each.
"""
import importlib
from typing import Callable

from jaxstage.errors import UserError


def is_own(name: str) -> bool:
    """Whether a name in the config stands for something outside jaxstage."""
    return ":" in name


def find(name: str) -> Callable:
    """The function of a name MODULE:FUNCTION.

    Raises:
      UserError: it cannot be imported.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = "give MODULE:FUNCTION of a module on PYTHONPATH"
        raise UserError(f"{name!r} cannot be imported ({error}): {remedy}") from error
