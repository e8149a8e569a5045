"""Finds how deep each stage of a convolutional network has to be, and trains it.

    python -m jaxstage.main --config=configs/digits.py
    python -m jaxstage.main --config=configs/cifar10.py:smoke --workdir=runs/mine --config.seed=1

--config=FILE[:PRESET]   what to do; the files in configs/ say what they need and what to expect
--workdir=DIR            where checkpoints, the record and the results go; without it, a directory under runs/ that
                         belongs to this config
--config.KEY=VALUE       overrides a key of the config

The same command continues an interrupted run. Ctrl-C and SIGTERM save first; a second signal ends the run at once.
The last line on standard output is a JSON object with the result.
"""
import contextlib
import json
import os
import pathlib
import signal
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from jaxstage.config import default, flatten, unknown_key, validate
from jaxstage.errors import Stopped, UserError, is_disk_full

_CONFIG = config_flags.DEFINE_config_file("config", None, "FILE[:PRESET]", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run")


def main(_) -> None:
    logging.set_verbosity(logging.FATAL)  # the libraries' own notes; what matters of them is raised and told here
    if _CONFIG.value is None:
        sys.exit("error: --config is missing: try --config=configs/digits.py, or --help")
    try:
        config_file = config_flags.get_config_filename(flags.FLAGS["config"])
        result = run(_CONFIG.value, config_file, _WORKDIR.value)
    except UserError as error:
        sys.exit(f"error: {_one_line(error)}")
    except Stopped as stopped:
        print(f"stopped by signal {stopped.signal}, everything is saved; the same command continues", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except OSError as error:
        if not is_disk_full(error):
            raise
        sys.exit(f"error: the disk is full ({error.filename}): free some space and run the same command again")
    print(json.dumps(result), flush=True)


def run(config, config_file: str, workdir: str | None) -> dict:
    """Does what a config says, in a work directory, and returns the result."""
    validate(config)
    # Heavy imports from here on: a wrong flag is told at once.
    from jaxstage.data import load_train
    from jaxstage.report.console import Reporter
    from jaxstage.search import driver
    from jaxstage.search.trainer import Trainer
    from jaxstage.workdir import claim, default_name

    use_compilation_cache(config.compilation_cache)
    workdir = pathlib.Path(workdir or default_name(config_file, config))
    reporter = Reporter()
    with stop_on_signal() as stop_signal:
        trainer = Trainer(config, load_train(config.data, config.seed), workdir, reporter, stop_signal)
        with claim(workdir, config):
            reporter.say(f"work directory: {workdir}")
            record = driver.run(trainer)
    return {
        "depths": list(record.final.depths),
        "parameters": record.final.parameters,
        "macs": record.final.macs,
        "test_accuracy": record.test["accuracy"],
        "models_trained": record.models_trained,
        "seconds": round(record.seconds, 1),
        "workdir": str(workdir),
    }


def use_compilation_cache(directory: str) -> None:
    """Keeps compiled programs between runs; "" for not at all."""
    import jax

    if directory:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(directory))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@contextlib.contextmanager
def stop_on_signal():
    """Yields a function that returns the SIGINT or SIGTERM that came, or None; a second one ends the process."""
    received = []

    def note(number, _):
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; every mistake on it is one line and exit code 2."""
    if set(argv[1:]) & {"--help", "-help", "-h", "--helpfull"}:
        print(help_text())
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
        _CONFIG.value and _CONFIG.value.lock()  # a config file that cannot be read is only told when it is used
    except Exception as error:  # whatever a config file or an override raises
        print(f"error: {_unknown_key(argv) or _one_line(error)}", file=sys.stderr)
        sys.exit(2)
    if rest[1:]:
        print(f"error: unexpected argument {rest[1]!r}: flags are written --name=value; try --help", file=sys.stderr)
        sys.exit(2)
    return rest


def help_text() -> str:
    keys = "\n".join(f"  --config.{key}={value}" for key, value in flatten(default()).items())
    return f"{__doc__}\nConfig keys and their defaults (explained in jaxstage/config.py):\n\n{keys}"


def _unknown_key(argv: list[str]) -> str | None:
    keys = (argument.split("=")[0].lstrip("-") for argument in argv[1:])
    found = (unknown_key(key.removeprefix("config.")) for key in keys if key.startswith("config."))
    return next(filter(None, found), None)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
