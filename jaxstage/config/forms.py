"""Other forms of a config: flat, and plain as JSON has it; and how two of these differ."""

from typing import Any

from ml_collections import config_dict

from jaxstage.config.defaults import default
from jaxstage.config.keys import MAY_CHANGE
from jaxstage.config.moved import renewed


def flatten(config, prefix: str = "") -> dict:
    """{'model.depths': (2, 2, 2), ...} of a config or of its JSON."""
    flat = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def plain(config: config_dict.ConfigDict) -> dict[str, Any]:
    """The config as JSON has it: tuples become lists."""

    def of(value):
        if isinstance(value, config_dict.ConfigDict):
            return plain(value)
        return list(value) if isinstance(value, tuple) else value

    return {key: of(value) for key, value in config.items()}


def differences(old: dict, new: dict) -> list[str]:
    """What differs between two configs' plain dicts, a text for each key, without the keys in MAY_CHANGE.

    A key that a config is too old to have counts as its default, which is what the program did before there was one.
    """
    usual = flatten(plain(default()))
    old, new = usual | flatten(renewed(old)), usual | flatten(new)
    return [
        f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
        for key in sorted(old.keys() | new.keys())
        if key not in MAY_CHANGE and old.get(key) != new.get(key)
    ]
