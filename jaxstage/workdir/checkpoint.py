"""Orbax checkpoints of one training run, each with digests of its arrays and of its files.

What the digests prove wrong is set aside and stepped over. An error that they do not explain, of a failing disk or of
too
little memory, says nothing about the checkpoint: it ends the run and leaves everything where it is.
"""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxstage.devices import hosts
from jaxstage.errors import UserError, first_line
from jaxstage.files import explaining_a_full_disk, write_json, write_text

FILES = "files.json"  # in each checkpoint: the digests of its files
DAMAGED = "damaged"  # beside the checkpoints: what was set aside
_UNFINISHED = ".orbax-checkpoint-tmp"  # after the step, in the name of a checkpoint that is not complete


class Store:
    """The checkpoints of one training run: DIRECTORY/<step>/. Use as a context manager; leaving it ends pending saves.

    Saving happens in the background; a checkpoint appears under its final name only when it is complete.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 2):
        """Args: directory, made if missing; keep, how many of the newest to leave in place."""
        self.directory, self._saving = pathlib.Path(directory).absolute(), None
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            enable_async_checkpointing=True,
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._list_files),
        )
        with self._explaining_a_full_disk():
            self._manager = ocp.CheckpointManager(self.directory, options=options)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        with contextlib.suppress(Exception) if error else self._explaining_a_full_disk():
            self._manager.wait_until_finished()
            self._manager.close()

    def save(self, step: int, tree: Any) -> None:
        """Starts to save `tree` as of `step`; a step that is already there is left alone.

        Raises:
          UserError: the disk is full (possibly noticed only at the next save or at the end).
        """
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), digest=ocp.args.JsonSave({"sha256": digest(tree)}))
        with self._explaining_a_full_disk():
            self._manager.wait_until_finished()  # as `save` would, but before it is known which step comes next
            self._saving = step
            self._manager.save(step, args=args)

    def newest(self) -> pathlib.Path | None:
        """Where the newest complete checkpoint lies."""
        step = self._manager.latest_step()
        return None if step is None else self.directory / str(step)

    def restore(self, like: Any, warn: Callable[[str], None]) -> Any | None:
        """The newest checkpoint that is whole, or None if there is none.

        A damaged one is moved to DIRECTORY/damaged/ after telling `warn`, so that the training can save that step anew.

        Args:
          like: tree of the same structure, whose leaves have shape, dtype and sharding.
          warn: takes one line of text.

        Raises:
          UserError: a checkpoint cannot be read, and not because it is damaged; it stays as it is.
        """
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like)),
            digest=ocp.args.JsonRestore(),
        )
        for step in sorted(self._manager.all_steps(), reverse=True):
            folder = self.directory / str(step)
            try:
                restored = self._manager.restore(step, args=args)
                same = digest(restored["state"]) == restored["digest"]["sha256"]
                damage = None if same else "its arrays are not those saved"
            except Exception as error:  # whatever the storage library makes of damaged files, and of a failing disk
                damage = _damage(folder)
                if damage is None:
                    raise UserError(_unreadable(folder, error)) from error
            if damage is None:
                return restored["state"]
            warn(f"checkpoint {folder} is damaged ({damage}): going back to the one before it")
            hosts.on_primary(self._set_aside, step, damage)
            self._manager.reload()
        return None

    def _list_files(self) -> None:
        """Writes FILES. Orbax calls this when all files are complete, before the checkpoint gets its final name."""
        if not hosts.primary():
            return
        for folder in self.directory.glob(f"{self._saving}{_UNFINISHED}*"):
            names = (path.relative_to(folder).as_posix() for path in folder.glob("*/**/*") if path.is_file())
            write_json(folder / FILES, {name: _file_digest(folder / name) for name in sorted(names)})

    def _set_aside(self, step: int, damage: str) -> None:
        place = self.directory / DAMAGED
        place.mkdir(exist_ok=True)
        name = str(step)
        while (place / name).exists():
            name += "_again"
        (self.directory / str(step)).rename(place / name)
        write_text(place / f"{name}.txt", f"Step {step} was set aside: {damage}. Nothing needs it any more.\n")

    def _explaining_a_full_disk(self):
        return explaining_a_full_disk(f"saving to {self.directory}", "; it continues from the last complete checkpoint")


def digest(tree: Any) -> str:
    """SHA-256 over the bytes, shapes and dtypes of a tree's leaves, in order."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        sha.update(f"{array.shape}{array.dtype}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def _damage(folder: pathlib.Path) -> str | None:
    """Which file of a checkpoint is not as it was written, as FILES proves; None if that cannot be proven.

    Raises:
      UserError: a file cannot be read.
    """
    try:
        for name, expected in json.loads((folder / FILES).read_text()).items():
            if not (folder / name).exists():
                return f"{name} is missing"
            if _file_digest(folder / name) != expected:
                return f"{name} is not as it was written"
    except (FileNotFoundError, ValueError):  # no list of files, or a damaged one, proves nothing
        return None
    except OSError as error:
        raise UserError(_unreadable(folder, error)) from error
    return None


def _unreadable(folder: pathlib.Path, error: Exception) -> str:
    return (
        f"checkpoint {folder} cannot be read ({first_line(error)}): it is left as it is; once disk and memory are in order "
        "run the same command again, or move that folder away to go on from the checkpoint before it"
    )


def _file_digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
