"""Keys that have moved: config files, commands and files of runs that have their old names go on working."""

import functools
import sys
from typing import Any

from ml_collections import config_dict

MOVED = {"model.convolutions": "convolutions"}  # its name until 0.2: its name now
OLD = {new: old for old, new in MOVED.items()}


@functools.cache
def now(old: str) -> str:
    """The name that a key of MOVED has now; a line says so, once a process."""
    print(f"the config key {old} is now {MOVED[old]}; its old name still works", file=sys.stderr)
    return MOVED[old]


def renewed(file: dict[str, Any]) -> dict[str, Any]:
    """What a file of a run says, with the keys where they are now.

    Example:
      renewed({"seed": 0, "model": {"depths": [1], "convolutions": "xla"}})
      # {"seed": 0, "model": {"depths": [1]}, "convolutions": "xla"}

    Args:
      file: JSON of a config.json, an architecture.json or a table of latencies, whose `model` is that of a config;
        unchanged.
    """
    for old in MOVED:
        section, key = old.split(".")
        part = file.get(section)
        if isinstance(part, dict) and key in part:
            others = {name: value for name, value in part.items() if name != key}
            file = {**file, section: others, now(old): part[key]}
    return file


class _Model(config_dict.ConfigDict):
    """The `model` part of a config, in which keys that have left it are those of the config."""

    _config = None  # a copy belongs to none, and knows no old names

    def _home(self, key: str) -> tuple[Any, str]:
        old = f"model.{key}"
        return (self._config, now(old)) if self._config is not None and old in MOVED else (super(), key)

    def __getitem__(self, key: str):
        home, name = self._home(key)
        return home.__getitem__(name)

    def __setitem__(self, key: str, value: Any):
        home, name = self._home(key)
        home.__setitem__(name, value)

    def get_type(self, key: str):
        home, name = self._home(key)
        return home.get_type(name)


def knowing_old_names(config: Any) -> Any:
    """The config, changed: keys are also read and set by their old names, `config.model.convolutions = "native"`."""
    config.model = _Model(config.model)
    object.__setattr__(config.model, "_config", config)
    return config
