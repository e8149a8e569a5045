"""A config file with --config.KEY=VALUE on top, as the command line gives them, and what is wrong with these."""

import traceback
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from jaxstage.config import KEYS, Config, load, unknown_key
from jaxstage.config import files as config_files
from jaxstage.errors import UserError


def read(file: str, arguments: Sequence[str]) -> tuple[Config, list[str]]:
    """The config of a file with overrides, and the arguments that are none.

    Example:
      config, rest = read("cifar10:smoke", ["--config.seed=1"])

    Args:
      file: FILE[:PRESET] as of --config.
      arguments: --config.KEY=VALUE, or --config.KEY VALUE.

    Raises:
      UserError: there is no such file, preset or key, or a value has another type.
    """
    values = flags.FlagValues()  # of our own: the global ones belong to the program that runs us
    values.set_gnu_getopt(True)
    config = _loaded(config_files.find(file))
    given, nones = last_of_each(arguments)
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=given)
        _, *rest = values(["jaxstage", *given])
        config.update_from_flattened_dict(nones)
    except Exception as error:  # whatever an override raises
        raise UserError(_unknown_key(given) or str(error)) from error
    return config, rest


def last_of_each(arguments: Sequence[str]) -> tuple[list[str], dict[str, None]]:
    """The arguments that absl can read, and the keys that they set to None, for which it has no word.

    Of several that set a key the last is left: absl would put two tuples one after the other. A value of its own goes into
    the argument of a key that may be a tuple, which absl would take for true.

    Example:
      last_of_each(["--config.model.depths=(1,1)", "--config.batch_size=None", "--config.model.depths", "(2,2)"])
      # (["--config.model.depths", "(2,2)"], {"batch_size": None})
    """
    flags: list[list[str]] = []  # each with its value, where that is an argument of its own
    for argument in arguments:
        if flags and len(flags[-1]) == 1 and "=" not in flags[-1][0] and _key(flags[-1][0]):
            flags[-1].append(argument)
        else:
            flags.append([argument])
    keys = [_key(flag[0]) for flag in flags]
    last = [
        (key, flag) for place, (key, flag) in enumerate(zip(keys, flags)) if not key or key not in keys[place + 1 :]
    ]
    is_none = lambda key, flag: KEYS[key].optional and "=".join(flag).endswith("=None")
    nones = {key: None for key, flag in last if key and is_none(key, flag)}
    whole = lambda key, flag: ["=".join(flag)] if key and KEYS[key].also_tuple else flag
    return [argument for key, flag in last if key not in nones for argument in whole(key, flag)], nones


def _key(argument: str) -> str | None:
    """The key that an argument sets, if its values are tuples or may be None."""
    name = argument.partition("=")[0].lstrip("-").removeprefix("config.")
    ours = argument.startswith("-") and name in KEYS
    return name if ours and (KEYS[name].kind is tuple or KEYS[name].optional or KEYS[name].also_tuple) else None


def mistake(arguments: Sequence[str]) -> str | None:
    """What is wrong with a --config=FILE or the first --config.KEY among arguments, if anything."""
    return _unknown_key(arguments) or _file_error(arguments)


def _unknown_key(arguments: Sequence[str]) -> str | None:
    names = (argument.split("=")[0].lstrip("-") for argument in arguments)
    found = (unknown_key(name.removeprefix("config.")) for name in names if name.startswith("config."))
    return next(filter(None, found), None)


def _file_error(arguments: Sequence[str]) -> str | None:
    value = next(
        (argument.split("=", 1)[1] for argument in arguments if argument.lstrip("-").startswith("config=")), None
    )
    try:
        if value is not None:
            _loaded(value)
    except UserError as error:
        return str(error)
    return None


def _loaded(value: str) -> Config:
    """The config of FILE[:PRESET]; what the file raises becomes a UserError with its line."""
    try:
        return load(value)
    except UserError as error:
        raise UserError(f"--config={value}: {error}") from error
    except Exception as error:
        path = config_files.find(value).partition(":")[0]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        place = f"{path}, line {lines[-1]}" if lines else path
        text = str(error).split(" Other fields present")[0]  # a locked config goes on to list itself
        text = text.strip("'\"") if text[:1] in "'\"" else text  # a KeyError's is in quotation marks
        raise UserError(f"{place}: {type(error).__name__}: {text}") from error
