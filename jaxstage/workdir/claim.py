"""Claiming a work directory: one run, one config, one process at a time."""

import contextlib
import hashlib
import json
import pathlib
import sys
from collections.abc import Callable

from jaxstage.config import default, differences, flatten, plain, typed
from jaxstage.config.keys import KEYS
from jaxstage.config.moved import OLD, renewed
from jaxstage.errors import UserError, is_disk_full
from jaxstage.files import DAMAGED, require_usable
from jaxstage.workdir import kept
from jaxstage.workdir import record as records
from jaxstage.workdir.kept import CONFIG, RECORD

try:
    import fcntl
except ImportError as error:
    raise UserError(
        "jaxstage does not run on native Windows: install it in WSL2, which does not differ for it from Linux"
    ) from error

MARK, FORMAT = ".jaxstage", 1  # the file that makes a directory one of ours; whoever works there holds a lock on it


def default_name(config_flag: str, config) -> str:
    """`runs/<config>[-<preset>]-<eight digits of its contents>`: the same command finds its directory again.

    Args:
      config_flag: value of --config, `configs/cifar10.py:smoke`.
      config: the config with its overrides; what is as by default does not count, so a new key changes no names, nor does one
        that has moved.
    """
    path, _, preset = config_flag.partition(":")
    usual = flatten(plain(default()))
    unusual = {key: value for key, value in flatten(plain(config)).items() if key not in usual or value != usual[key]}
    unusual = {OLD.get(key, key): value for key, value in unusual.items()}
    contents = hashlib.sha256(json.dumps(unusual, sort_keys=True).encode()).hexdigest()[:8]
    return str(pathlib.Path("runs") / "-".join(filter(None, [pathlib.Path(path).stem, preset, contents])))


def _tell(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


@contextlib.contextmanager
def claim(workdir: pathlib.Path, config, warn: Callable[[str], None] = _tell):
    """Makes or reopens a work directory for a config, and keeps other processes out while the context lasts.

    Where the config or the record in it is damaged, it is set aside and its copy takes its place.

    Args:
      workdir: of a run.
      config: of the run.
      warn: takes one line of text.

    Raises:
      UserError: it belongs to another config, is not ours, is in use, cannot be written, or is damaged beyond its copies.
    """
    with occupy(workdir):
        _require_usable(workdir)
        record = records.find(workdir)
        if record.value:  # before the first entry there is nothing to protect
            require_same(workdir, config)
            kept.mend(workdir / RECORD, record, warn)
            kept.mend(workdir / CONFIG, find_config(workdir), warn)
        kept.write(workdir / CONFIG, plain(config))
        yield


@contextlib.contextmanager
def occupy(workdir: pathlib.Path):
    """Makes or reopens a directory of ours, and keeps other processes out while the context lasts.

    Raises:
      UserError: it holds something and has no mark of ours, is in use, or cannot be written.
    """
    if {"[", "]"} & set(str(workdir.absolute())):  # Orbax takes them for a pattern and then finds nothing there
        raise UserError(
            f"{workdir.absolute()} has brackets, under which Orbax loses checkpoints: choose another directory"
        )
    try:
        _require_ours(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        mark = open(workdir / MARK, "a+")
    except OSError as error:
        remedy = "free some space" if is_disk_full(error) else "choose another directory"
        raise UserError(f"cannot write to {workdir} ({error.strerror}): {remedy}") from error
    with mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"{workdir} is in use by another process: wait for it or choose another directory"
            ) from error
        if mark.tell() == 0:
            mark.write(json.dumps({"format": FORMAT}) + "\n")
            mark.flush()
        yield


def require_same(workdir: pathlib.Path, config) -> None:
    """Looks whether a work directory was begun with a config.

    Raises:
      UserError: with another one, or what says so is damaged.
    """
    theirs = find_config(workdir).value
    if theirs is None:
        raise UserError(
            f"{workdir} has no {CONFIG}, which says what it was begun with: get it from a backup or choose another --workdir"
        )
    if changes := differences(theirs, plain(config)):
        raise UserError(
            f"{workdir} belongs to another config ({'; '.join(changes)}): undo that or choose another --workdir"
        )


def find_config(workdir: pathlib.Path) -> kept.Found:
    """The config of a work directory as a plain dict, if it has one, and whether it had to be read from its copy.

    Raises:
      UserError: it cannot be read, or is damaged and so is its copy.
    """
    return kept.read(workdir / CONFIG, _checked)


def _checked(config: dict) -> dict:
    """The config, if it can be one of a version of ours; else raises KeyError or TypeError."""
    flat = flatten(renewed(config))
    for name in ("task", "data.name", "model.depths"):
        flat[name]
    for name, key in KEYS.items():
        if name in flat and (problem := typed.problem(flat[name], key.hint, name)):
            raise TypeError(problem)
    return config


FILES = ("config.json", "search.json", "metrics.jsonl", "skipped.json", "transfer.json", "latency.json", "test.json")
FOLDERS = (".", "checkpoints", "checkpoints/*", "tensorboard", "tensorboard/*", "final", "elastic", DAMAGED)


def _require_usable(workdir: pathlib.Path) -> None:
    """Looks at what a run will read and write in its work directory, so that it does not find out after hours.

    Raises:
      UserError: a file or folder of it cannot be used, or is the other of the two.
    """
    for pattern in FOLDERS:  # what lies beside checkpoints and is none may be anybody's
        for folder in filter(pathlib.Path.is_dir, workdir.glob(pattern)) if "*" in pattern else [workdir / pattern]:
            require_usable(folder, folder=True)
    for name in FILES:
        require_usable(workdir / name, folder=False)


def _require_ours(workdir: pathlib.Path) -> None:
    if not workdir.exists() or (workdir / MARK).is_file() or workdir.is_dir() and not any(workdir.iterdir()):
        return
    if workdir.is_dir() and _looks_like_an_old_run(workdir):
        raise UserError(
            f"{workdir} looks like a run of a jaxstage that left no mark: create the empty file {workdir / MARK} to go on "
            "with it, or choose another directory"
        )
    raise UserError(f"{workdir} is not empty and not a run of jaxstage (no {MARK}): choose another directory")


def _looks_like_an_old_run(workdir: pathlib.Path) -> bool:
    try:
        there = json.loads((workdir / CONFIG).read_text())
        return {"task", "growth", "candidate", "importance"} <= there.keys()
    except (OSError, ValueError, AttributeError):
        return False
