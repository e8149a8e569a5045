"""Saving, restoring, and finding out about damage."""
import errno
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxstage.checkpoint import Store, digest
from jaxstage.errors import UserError


def tree(value):
    return {"kernel": jax.random.normal(jax.random.key(value), (64, 64)), "step": jnp.int32(value)}


@pytest.fixture
def saved(tmp_path):
    """A store's directory with steps 1, 2 and 3, of which two are kept."""
    with Store(tmp_path / "store", keep=2) as store:
        for step in (1, 2, 3):
            store.save(step, tree(step))
    return tmp_path / "store"


def restore(directory, warnings=None):
    with Store(directory) as store:
        return store.restore(tree(0), (warnings if warnings is not None else []).append)


def test_the_newest_comes_back_bit_by_bit(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["2", "3"]
    jax.tree.map(np.testing.assert_array_equal, restore(saved), tree(3))


def test_nothing_there_is_none(tmp_path):
    assert restore(tmp_path / "new") is None


def largest_file(folder: pathlib.Path) -> pathlib.Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(folder):
    path = largest_file(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(folder):
    path = largest_file(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def delete_a_file(folder):
    (folder / "state" / "manifest.ocdbt").unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, delete_a_file])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(saved, damage):
    damage(saved / "3")
    warnings = []
    jax.tree.map(np.testing.assert_array_equal, restore(saved, warnings), tree(2))
    assert len(warnings) == 1 and str(saved / "3") in warnings[0] and "damaged" in warnings[0]
    with Store(saved) as store:
        store.save(3, tree(3))
    jax.tree.map(np.testing.assert_array_equal, restore(saved), tree(3))


def test_all_damaged_is_none(saved):
    truncate(saved / "2"), truncate(saved / "3")
    assert restore(saved) is None


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("RESOURCE_EXHAUSTED: No space left on device")]
)
def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch, error):
    with Store(tmp_path) as store:

        def fail(*_, **__):
            raise error

        monkeypatch.setattr(store._manager, "save", fail)
        with pytest.raises(UserError, match="the disk is full"):
            store.save(1, tree(1))


def test_digest_sees_values_shapes_and_types():
    base = np.zeros((2, 3), np.float32)
    others = [base + 1, base.reshape(3, 2), base.astype(np.int32)]
    assert digest([base]) == digest([base.copy()])
    assert len({digest([array]) for array in [base, *others]}) == 4
