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
from jaxstage.files import explaining_a_failed_write, require_usable, write_json
from jaxstage.workdir.kept import set_aside

FILES = "files.json"  # in each checkpoint: the digests of its files
_UNFINISHED = ".orbax-checkpoint-tmp"  # after the step, in the name of a checkpoint that is not complete


class Store:
    """The checkpoints of one training run: DIRECTORY/<step>/. Use as a context manager; leaving it ends pending saves.

    Saving happens in the background; a checkpoint appears under its final name only when it is complete.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 2):
        """Args: directory, made if missing; keep, how many of the newest to leave in place. Raises UserError if that cannot be
        written to."""
        self.directory, self._saving = pathlib.Path(directory).absolute(), None
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=True, async_options=async_options(self._list_files)
        )
        require_usable(self.directory, folder=True)
        with self._explaining():
            self._manager = ocp.CheckpointManager(self.directory, options=options)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        with contextlib.suppress(Exception) if error else self._explaining():
            self._manager.wait_until_finished()
            self._manager.close()

    def save(self, step: int, tree: Any) -> None:
        """Starts to save `tree` as of `step`; a step that is already there is left alone.

        Raises:
          UserError: it cannot be written (possibly noticed only at the next save or at the end).
        """
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), digest=ocp.args.JsonSave({"sha256": digest(tree)}))
        with self._explaining():
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
            hosts.on_primary(set_aside, folder, damage)
            self._manager.reload()
        return None

    def _list_files(self) -> None:
        """Writes FILES. Orbax calls this when all files are complete, before the checkpoint gets its final name."""
        if not hosts.primary():
            return
        for folder in self.directory.glob(f"{self._saving}{_UNFINISHED}*"):
            names = (path.relative_to(folder).as_posix() for path in folder.glob("*/**/*") if path.is_file())
            write_json(folder / FILES, {name: _file_digest(folder / name) for name in sorted(names)})

    def _explaining(self):
        return explaining_a_failed_write(
            f"saving to {self.directory}", "; it continues from the last complete checkpoint"
        )


def async_options(when_complete: Callable[[], None] | None = None) -> ocp.options.AsyncOptions:
    """How Orbax saves in the background; `when_complete` is called before a checkpoint gets its final name.

    Its folders are made at once: by default their threads make them too, and if that fails, of a full disk say, the other
    threads wait many minutes for folders that never come, while the program would end.
    """
    return ocp.options.AsyncOptions(post_finalization_callback=when_complete, create_directories_asynchronously=False)


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
