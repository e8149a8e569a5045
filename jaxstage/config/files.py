"""Config files, found by their path, or by name those that come along; and the configs that they make.

In a clone and in an editable installation these lie in configs/, in an installed package in jaxstage/configs/.
"""

import ast
import difflib
import inspect
import os
import pathlib
import runpy
from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxstage.config.defaults import Config
from jaxstage.config.keys import unknown_key
from jaxstage.errors import UnknownPreset, UserError, brief, first_line
from jaxstage.files import local
from jaxstage.plugins import shown

_PACKAGE = pathlib.Path(__file__).parents[1]
FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


class Known(NamedTuple):
    """A config that comes along: its name, its presets, and what it does in one sentence."""

    name: str
    presets: tuple[str, ...]
    about: str


def find(text: str | os.PathLike) -> str:
    """FILE[:PRESET] of a --config, which may name one that comes along.

    Example:
      find("cifar10:smoke")  # '/somewhere/configs/cifar10.py:smoke'

    Args:
      text: a path or a name, either with or without .py, and a preset. What lies in the current directory comes first.

    Raises:
      UserError: there is none, with the names nearest to it.
    """
    text = os.fspath(text)
    if "://" in text:
        local(text, "--config")
    file, colon, preset = text.partition(":")
    path = local(file or ".", "--config")
    for candidate in (path, path.with_name(path.name + ".py") if path.name else path):
        if candidate.is_file():
            return f"{candidate}{colon}{preset}"
    if path.parent == pathlib.Path() and (found := _files().get(path.stem)):
        return f"{found}{colon}{preset}"
    raise UserError(
        f"there is no config file {file}{_nearest(path.stem)} `jaxstage configs` lists those that come along"
    )


def ours(name: str) -> str:
    """FILE[:PRESET] of a config that comes along, whatever of that name lies in the current directory.

    Example:
      ours("evaluate")  # '/somewhere/configs/evaluate.py'
    """
    file, colon, preset = name.partition(":")
    return f"{_files()[file]}{colon}{preset}"


def load(file: str | os.PathLike, overrides: dict | None = None) -> Config:
    """The config that a file makes, as --config does.

    Example:
      config = jaxstage.config.load("cifar10:smoke", {"seed": 1, "growth.max_rounds": 3})

    Args:
      file: FILE or FILE:PRESET, a path or the name of one that comes along, see `find`.
      overrides: values by key.

    Raises:
      UserError: there is no such file, preset or key, or a value has another type.
    """
    path, *preset = find(file).split(":", 1)
    try:
        config = _function(path, *preset)(*preset)
    except SystemExit as error:
        raise UserError(f"{path} ends the program (SystemExit: {error}): leave that out of a config file") from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"get_config of {path} returned {shown(config)}: expected a config; start from jaxstage.config.default()"
        )
    for key, value in (overrides or {}).items():
        if problem := unknown_key(key):
            raise UserError(problem)
        try:
            config.update_from_flattened_dict({key: value})
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"config.{key}={brief(value)}: {first_line(error)}") from error
    return config  # pyright: ignore[reportReturnType]


def _function(path: str, preset: str | None = None) -> Callable:
    """What a config file calls get_config.

    Raises:
      UserError: there is none, or it takes no preset.
    """
    made = runpy.run_path(path).get("get_config")
    if not callable(made):
        raise UserError(f"{path} has no function get_config: write one that returns a config, see configs/digits.py")
    if preset is not None and not inspect.signature(made).parameters:
        raise UserError(f"there is no preset {preset!r}: {path} has none, leave it out")
    return made


def choose(preset: str, **presets: Callable) -> Callable:
    """The preset of that name out of a config file's presets, functions that change a config.

    Raises:
      UnknownPreset: there is none of that name.
    """
    if preset not in presets:
        raise UnknownPreset(preset, tuple(presets))
    return presets[preset]


def known() -> list[Known]:
    """The configs that come along, by name."""
    return [Known(name, _presets(path), _about(path)) for name, path in _files().items()]


def _files() -> dict[str, pathlib.Path]:
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.py"))} if folder else {}


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, _files(), n=3, cutoff=0.5)
    return f": did you mean {' or '.join(close)}?" if close else ";"


def _presets(path: pathlib.Path) -> tuple[str, ...]:
    get_config = runpy.run_path(str(path))["get_config"]
    try:
        get_config("")
    except UnknownPreset as error:
        return error.known
    except TypeError:  # it takes none
        pass
    return ()


def _about(path: pathlib.Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
