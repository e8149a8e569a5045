"""Reading the command line: --help, and one clear line for every mistake on it or in the config file."""
import sys
import traceback

from absl import flags
from ml_collections import config_flags

from jaxstage.config import default, flatten, load, unknown_key
from jaxstage.errors import UserError

CONFIG = config_flags.DEFINE_config_file("config", None, "FILE[:PRESET]", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, or auto")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "processes that run together")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "only tell what the run would do")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "which of them this is")


def parser(usage: str):
    """Builds the `flags_parser` for absl's app.run; `usage` opens the help."""

    def parse(argv: list[str]) -> list[str]:
        if set(argv[1:]) & {"--help", "-help", "-h", "--helpfull"}:
            print(_help(usage))
            sys.exit(0)
        try:
            rest = flags.FLAGS(argv)
            if CONFIG.value is None:
                raise UserError("--config is missing: try --config=configs/digits.py, or --help")
            CONFIG.value.lock()  # a file that could not be read is only told when its config is used
        except Exception as error:  # whatever a config file or an override raises
            _fail(_unknown_key(argv) or _config_file_error(argv) or str(error))
        if rest[1:]:
            _fail(f"unexpected argument {rest[1]!r}: flags are written --name=value; try --help")
        return rest

    return parse


def config_file() -> str:
    """Value of --config, with its preset."""
    return config_flags.get_config_filename(flags.FLAGS["config"])


def one_line(text: str) -> str:
    return " ".join(text.split())


def _fail(text: str):
    print(f"error: {one_line(text)}", file=sys.stderr)
    sys.exit(2)


def _help(usage: str) -> str:
    keys = "\n".join(f"  --config.{key}={value}" for key, value in flatten(default()).items())
    return f"{usage}\nConfig keys and their defaults (explained in jaxstage/config.py):\n\n{keys}"


def _unknown_key(argv: list[str]) -> str | None:
    """What is wrong with the first --config.KEY that does not exist."""
    names = (argument.split("=")[0].lstrip("-") for argument in argv[1:])
    found = (unknown_key(name.removeprefix("config.")) for name in names if name.startswith("config."))
    return next(filter(None, found), None)


def _config_file_error(argv: list[str]) -> str | None:
    """What the config file itself raises, with its line; ml_collections tells it as a whole traceback."""
    value = next((argument.split("=", 1)[1] for argument in argv if argument.lstrip("-").startswith("config=")), None)
    if value is None:
        return None
    try:
        load(value)
    except UserError as error:
        return f"--config={value}: {error}"
    except Exception as error:
        path = value.partition(":")[0]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        place = f"{path}, line {lines[-1]}" if lines else path
        text = str(error).strip("'\"").split(" Other fields present")[0]  # a locked config goes on to list itself
        return f"{place}: {type(error).__name__}: {text}"
    return None
