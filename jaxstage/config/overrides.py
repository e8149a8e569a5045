"""A config file with --config.KEY=VALUE on top, as the command line gives them, and what is wrong with these."""

import traceback
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from jaxstage.config import Config, load, unknown_key
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
    given = [f"--config={config_files.find(file)}", *arguments]
    defined = config_flags.DEFINE_config_file("config", None, "", lock_config=True, flag_values=values, sys_argv=given)
    try:
        _, *rest = values(["jaxstage", *given])
        defined.value.lock()  # a file that could not be read is only told when its config is used
    except Exception as error:  # whatever a config file or an override raises
        raise UserError(mistake(given) or str(error)) from error
    return defined.value, rest


def mistake(arguments: Sequence[str]) -> str | None:
    """What is wrong with a --config=FILE or the first --config.KEY among arguments, if anything."""
    return _unknown_key(arguments) or _file_error(arguments)


def _unknown_key(arguments: Sequence[str]) -> str | None:
    names = (argument.split("=")[0].lstrip("-") for argument in arguments)
    found = (unknown_key(name.removeprefix("config.")) for name in names if name.startswith("config."))
    return next(filter(None, found), None)


def _file_error(arguments: Sequence[str]) -> str | None:
    """What the config file itself raises, with its line; ml_collections tells it as a whole traceback."""
    value = next(
        (argument.split("=", 1)[1] for argument in arguments if argument.lstrip("-").startswith("config=")), None
    )
    if value is None:
        return None
    try:
        load(value)
    except UserError as error:
        return f"--config={value}: {error}"
    except Exception as error:
        path = config_files.find(value).partition(":")[0]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        place = f"{path}, line {lines[-1]}" if lines else path
        text = str(error).strip("'\"").split(" Other fields present")[0]  # a locked config goes on to list itself
        return f"{place}: {type(error).__name__}: {text}"
    return None
