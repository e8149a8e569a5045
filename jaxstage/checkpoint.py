"""Orbax checkpoints of one training, each with a digest of its contents, so that damage is noticed and stepped over."""
import contextlib
import hashlib
import pathlib
from typing import Any, Callable

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxstage.errors import UserError, is_disk_full


class Store:
    """The checkpoints of one training: DIRECTORY/<step>/. Use as a context manager; leaving it ends pending saves.

    Saving happens in the background; a checkpoint appears under its final name only when it is complete.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 2):
        """Args: directory, made if missing; keep, how many of the newest to leave in place."""
        self.directory = pathlib.Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
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
            self._manager.save(step, args=args)

    def newest(self) -> pathlib.Path | None:
        """Where the newest complete checkpoint lies."""
        step = self._manager.latest_step()
        return None if step is None else self.directory / str(step)

    def restore(self, like: Any, warn: Callable[[str], None]) -> Any | None:
        """The newest checkpoint that is whole, or None if there is none.

        A damaged one is deleted after telling `warn`, so that the training can save that step anew.

        Args:
          like: tree of the same structure, whose leaves have shape, dtype and sharding.
          warn: takes one line of text.
        """
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like)),
            digest=ocp.args.JsonRestore(),
        )
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._manager.restore(step, args=args)
                if digest(restored.state) == restored.digest["sha256"]:
                    return restored.state
                reason = "its contents do not match their digest"
            except Exception as error:  # whatever the storage library makes of damaged files
                reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
            warn(f"checkpoint {self.directory / str(step)} is damaged ({reason}): going back to the one before it")
            self._manager.delete(step)
        return None

    @contextlib.contextmanager
    def _explaining_a_full_disk(self):
        try:
            yield
        except Exception as error:
            if not is_disk_full(error):
                raise
            raise UserError(
                f"the disk is full, saving to {self.directory} failed: free some space and run the same command "
                "again; it continues from the last complete checkpoint"
            ) from error


def digest(tree: Any) -> str:
    """SHA-256 over the bytes, shapes and dtypes of a tree's leaves, in order."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        sha.update(f"{array.shape}{array.dtype}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
