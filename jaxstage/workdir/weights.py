"""Reading the weights of a network that somebody may have sent: what they are is looked at before memory is taken for them.

Orbax and TensorStore read the files; they import nothing that a file names, and take no pickles.
"""

import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxstage.errors import UserError, first_line, transient
from jaxstage.files import require_stored, require_within, retried
from jaxstage.workdir.checkpoint import digest

REMEDY = "move that folder away and rerun the run's command, which writes it anew"


def read(folder: pathlib.Path, workdir: pathlib.Path, blocks: int, shapes: Callable[[], Any], sha256: str) -> Any:
    """The variables of a network.

    Args:
      folder: where they lie, absolute.
      workdir: out of which no link may lead.
      blocks: how many the network has.
      shapes: makes the tree of their shapes and dtypes, which may take long.
      sha256: their digest.

    Returns:
      Like `shapes`, on the first device.

    Raises:
      UserError: they cannot be read, are of another network, larger than what is stored, or not those of the digest.
    """
    stored = require_within(folder, workdir)

    def restored() -> Any:
        with ocp.StandardCheckpointer() as checkpointer:
            there = _by_path(checkpointer.metadata(folder).item_metadata)
            if len(there) < blocks:
                raise ValueError(f"{len(there)} arrays for {blocks} blocks")
            tree = shapes()
            _require_same(there, _by_path(tree))
            require_stored(
                folder, sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)), stored
            )
            here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), tree)
            return checkpointer.restore(folder, like)

    try:
        variables = retried(restored, f"reading {folder}")
    except UserError:
        raise
    except Exception as error:  # whatever the storage library makes of damaged files, and of a failing disk
        told = first_line(transient(error) or error)
        raise UserError(
            f"the weights in {folder.parent} cannot be read ({told}): if disk and memory are in order, {REMEDY}"
        ) from error
    if digest(variables) != sha256:
        raise UserError(f"the weights in {folder.parent} are damaged: {REMEDY}")
    return variables


def _require_same(there: dict[str, Any], here: dict[str, Any]) -> None:
    """Raises ValueError unless what is stored has the names, shapes and dtypes of a network, in pieces of no more."""
    if differ := sorted(there.keys() ^ here.keys()):
        raise ValueError(f"another network's: only one has {differ[0]}")
    for name, leaf in here.items():
        stored = there[name]
        pieces = stored.storage.chunk_shape if stored.storage else stored.shape
        if (tuple(stored.shape), stored.dtype) != (tuple(leaf.shape), leaf.dtype):
            raise ValueError(f"another network's: {name} has shape {tuple(stored.shape)}, not {tuple(leaf.shape)}")
        if math.prod(pieces) > math.prod(leaf.shape):
            raise ValueError(f"{name} of shape {tuple(leaf.shape)} lies in pieces of {tuple(pieces)}")


def _by_path(tree: Any) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
