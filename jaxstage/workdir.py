"""Claiming a work directory: one run, one config, one process at a time."""
import contextlib
import fcntl
import hashlib
import json
import pathlib

from jaxstage.config import differences, plain
from jaxstage.errors import UserError, is_disk_full
from jaxstage.files import write_json
from jaxstage.search.record import FILE as RECORD

CONFIG, LOCK = "config.json", ".lock"


def default_name(config_flag: str, config) -> str:
    """`runs/<config>[-<preset>]-<eight digits of its contents>`: the same command finds its directory again.

    Args:
      config_flag: value of --config, `configs/cifar10.py:smoke`.
      config: the config with its overrides.
    """
    path, _, preset = config_flag.partition(":")
    contents = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()[:8]
    return str(pathlib.Path("runs") / "-".join(filter(None, [pathlib.Path(path).stem, preset, contents])))


@contextlib.contextmanager
def claim(workdir: pathlib.Path, config):
    """Makes or reopens a work directory for a config, and keeps other processes out while the context lasts.

    Raises:
      UserError: it belongs to another config, is no run's directory, is in use, or cannot be written.
    """
    fresh = not (workdir / CONFIG).exists()
    if fresh and workdir.exists() and any(path.name != LOCK for path in workdir.iterdir()):
        raise UserError(f"{workdir} is not empty and not a run of jaxstage: choose another --workdir")
    if (workdir / RECORD).exists():  # before the first entry there is nothing to protect
        _compare(workdir, config)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / LOCK, "w")
    except OSError as error:
        remedy = "free some space" if is_disk_full(error) else "choose another --workdir"
        raise UserError(f"cannot write to {workdir} ({error.strerror}): {remedy}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{workdir} is in use by another process: wait for it or choose another --workdir") from error
        write_json(workdir / CONFIG, plain(config))
        yield


def _compare(workdir: pathlib.Path, config) -> None:
    try:
        theirs = json.loads((workdir / CONFIG).read_text())
    except ValueError as error:
        raise UserError(f"{workdir / CONFIG} is damaged ({error}): choose another --workdir") from error
    if changes := differences(theirs, plain(config)):
        raise UserError(
            f"{workdir} belongs to another config ({'; '.join(changes)}): undo that or choose another --workdir"
        )
