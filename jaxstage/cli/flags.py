"""The flags of `python -m jaxstage.main`: --help, and one clear line for every mistake on them or in the config file."""

import sys
import textwrap

from absl import flags
from ml_collections import config_flags

from jaxstage.cli.ends import one_line
from jaxstage.cli.tasks import take_depths
from jaxstage.config import KEYS
from jaxstage.config import files as config_files
from jaxstage.config import overrides as config_overrides
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
            given, nones = config_overrides.last_of_each(_with_paths(argv))
            rest = flags.FLAGS(given)
            if CONFIG.value is None:
                raise UserError("--config is missing: try --config=configs/digits.py, or --help")
            CONFIG.value.lock()  # a file that could not be read is only told when its config is used
            CONFIG.value.update_from_flattened_dict(nones)
            take_depths(CONFIG.value, given)
        except (Exception, SystemExit) as error:  # whatever a config file or an override raises
            _fail(config_overrides.mistake(argv) or str(error))
        if rest[1:]:
            _fail(f"unexpected argument {rest[1]!r}: flags are written --name=value; try --help")
        return rest

    return parse


def config_file() -> str:
    """Value of --config as a path, with its preset."""
    return config_flags.get_config_filename(flags.FLAGS["config"])


def _with_paths(argv: list[str]) -> list[str]:
    """The arguments with the path of the config in the place of its name."""
    found = list(argv)
    for place, argument in enumerate(argv):
        if argument in ("--config", "-config") and place + 1 < len(argv):
            found[place + 1] = config_files.find(argv[place + 1])
        elif argument.startswith(("--config=", "-config=")):
            flag, _, value = argument.partition("=")
            found[place] = f"{flag}={config_files.find(value)}"
    return found


def _fail(text: str):
    print(f"error: {one_line(text)}", file=sys.stderr)
    sys.exit(2)


def _help(usage: str) -> str:
    return f"{usage}\nConfig keys, their defaults and what they mean:\n\n" + "\n".join(map(_about, KEYS))


def _about(name: str) -> str:
    key = KEYS[name]
    meaning = textwrap.fill(key.explanation, 120, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  --config.{name}={key.default}" + (f"\n{meaning}" if meaning else "")
