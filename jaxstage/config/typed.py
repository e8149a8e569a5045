"""Whether plain data from a file has the types that annotations say."""

import dataclasses
import math
import types
import typing
from typing import Any

from jaxstage.errors import brief

LARGEST = 10**18  # of a whole number: larger ones are no counts of ours, and some have no float
LARGEST_FLOAT = (
    2.0**128
)  # of others: what devices compute, in float32; the loss of a network that diverged comes near it


def problem(value: Any, hint: Any, name: str = "") -> str | None:
    """What of a value is not as a hint says, or None.

    Example:
      problem({"loss": "0.3"}, dict[str, float], "validation")  # "validation.loss='0.3' is no float"

    Args:
      value: of JSON, or dataclasses made of it. Lists and tuples are the same here, and a whole number is a float.
      hint: str, int, float, bool, Any, `X | Y`, `X | None`, tuple[X, ...], dict[str, X] or a dataclass with such hints.
      name: of the value, for the text.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        found = [problem(value, one, name) for one in inner if one is not types.NoneType]
        return None if None in found or value is None and types.NoneType in inner else found[0]
    if origin is tuple and isinstance(value, (tuple, list)):
        return _first((part, inner[0], f"{name}[{place}]") for place, part in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return _first((part, inner[1], f"{name}.{key}") for key, part in value.items())
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, hint):
        hints = typing.get_type_hints(hint)
        return _first((getattr(value, key), hints[key], f"{name}.{key}".lstrip(".")) for key in hints)
    return None if hint is Any or _is(value, hint) else f"{name}={brief(value, 60)} is no {_called(hint)}"


def _first(parts: typing.Iterable[tuple[Any, Any, str]]) -> str | None:
    return next((found for part in parts if (found := problem(*part))), None)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is a text, a number or a truth value that can be worked with; not a number is a float."""
    if kind is float:
        usual = type(value) is float and (abs(value) < LARGEST_FLOAT or not math.isfinite(value))
        return usual or _is(value, int)
    if kind is int:
        return type(value) is int and abs(value) <= LARGEST
    return type(value) is kind


def _called(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
