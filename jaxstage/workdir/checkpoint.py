"""Orbax checkpoints of one training run, each with digests of its arrays and of its files.

What the digests prove wrong is set aside and stepped over. An error that they do not explain, of a failing disk or of
too little memory, says nothing about the checkpoint: it is tried again if it may be gone then, and otherwise ends the run
and leaves everything where it is.
"""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxstage.devices import hosts
from jaxstage.errors import Stopped, UserError, first_line, transient
from jaxstage.files import explaining_a_failed_write, require_usable, retried, set_aside, write_json

FILES = "files.json"  # in each checkpoint: the digests of its files
_UNFINISHED = ".orbax-checkpoint-tmp"  # after the step, in the name of a checkpoint that is not complete


class Store:
    """The checkpoints of one training run: DIRECTORY/<step>/. Use as a context manager; leaving it ends pending saves.

    Saving happens in the background; a checkpoint appears under its final name only when it is complete.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 2, pauses: Sequence[float] | None = None):
        """Args: directory, made if missing; keep, how many of the newest to leave in place; pauses, see `of_one_process`. Raises
        UserError if the directory cannot be written to."""
        self.directory, self._keep = pathlib.Path(directory).absolute(), keep
        self._saving: tuple[int, Any] | None = None
        self._pauses = of_one_process(pauses)
        require_usable(self.directory, folder=True)
        with self._explaining():
            self._manager = self._opened()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error and not isinstance(error, Stopped):
            with contextlib.suppress(Exception):  # the first error is the one to tell, and to wait no longer after
                self._manager.wait_until_finished()
                self._manager.close()
            return
        with self._explaining():
            self._finish()
            self._manager.close()

    def save(self, step: int, tree: Any) -> None:
        """Starts to save `tree` as of `step`; a step that is already there is left alone.

        Raises:
          UserError: it cannot be written (possibly noticed only at the next save or at the end).
        """
        if step in self._manager.all_steps():
            return
        with self._explaining():
            self._finish()  # as Orbax would, but before it is known which step comes next
            self._saving = step, tree
            self._retried(self._begin, f"saving step {step} to {self.directory}")

    def finish(self) -> None:
        """Waits until what was saved is complete.

        Raises:
          UserError: it cannot be written.
        """
        with self._explaining():
            self._finish()

    def _opened(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, enable_async_checkpointing=True, async_options=async_options(self._list_files)
        )
        return self._retried(
            lambda: ocp.CheckpointManager(self.directory, options=options), f"opening {self.directory}"
        )

    def _retried(self, do: Callable[[], Any], doing: str) -> Any:
        return retried(do, doing, self._pauses)

    def _begin(self) -> None:
        assert self._saving
        step, tree = self._saving
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), digest=ocp.args.JsonSave({"sha256": digest(tree)}))
        with self._opening_anew_after_an_error():
            self._manager.save(step, args=args)

    def _finish(self) -> None:
        """Waits for the save under way. If it failed, and that may pass, it is begun again.

        Not if training went on, which gave that state up: then the next one takes its place.
        """
        if self._saving is None:
            return
        step, tree = self._saving
        under_way = True

        def wait():
            nonlocal under_way
            if not under_way and not _is_given_up(tree):
                self._begin()
            under_way = False
            with self._opening_anew_after_an_error():
                self._manager.wait_until_finished()

        self._retried(wait, f"saving step {step} to {self.directory}")
        self._saving = None

    @contextlib.contextmanager
    def _opening_anew_after_an_error(self):
        """Orbax's manager is of no more use after one."""
        try:
            yield
        except Exception as error:
            if transient(error) and self._pauses != ():
                with contextlib.suppress(Exception):
                    self._manager.close()
                self._manager = self._opened()
            raise

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
                restored = self._retried(lambda step=step: self._manager.restore(step, args=args), f"reading {folder}")
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
        assert self._saving
        for folder in self.directory.glob(f"{self._saving[0]}{_UNFINISHED}*"):
            names = (path.relative_to(folder).as_posix() for path in folder.glob("*/**/*") if path.is_file())
            write_json(folder / FILES, {name: _file_digest(folder / name) for name in sorted(names)})

    def _explaining(self):
        return explaining_a_failed_write(
            f"saving to {self.directory}", "; it continues from the last complete checkpoint"
        )


def of_one_process(pauses: Sequence[float] | None = None) -> Sequence[float] | None:
    """Pauses between tries, see `files.retried`; none where there are several, which would have to try again together."""
    return pauses if jax.process_count() == 1 else ()


def _is_given_up(tree: Any) -> bool:
    return any(leaf.is_deleted() for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array))


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
    told = first_line(transient(error) or error)
    return (
        f"checkpoint {folder} cannot be read ({told}): it is left as it is; once disk and memory are in order run the same "
        "command again, or move that folder away to go on from the checkpoint before it"
    )


def _file_digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
