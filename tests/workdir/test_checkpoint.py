"""Saving, restoring, and finding out about damage."""

import copy
import errno
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxstage.errors import JaxstageWarning, Stopped, UserError
from jaxstage.workdir import checkpoint
from jaxstage.workdir.checkpoint import Store, digest


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
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(saved, damage):
    damage(saved / "3")
    found = largest_file(saved / "3").read_bytes()
    warnings = []
    jax.tree.map(np.testing.assert_array_equal, restore(saved, warnings), tree(2))
    assert len(warnings) == 1 and str(saved / "3") in warnings[0] and "damaged" in warnings[0]
    assert largest_file(saved / "damaged" / "3").read_bytes() == found
    assert "set aside" in (saved / "damaged" / "3.txt").read_text()
    with Store(saved) as store:
        store.save(3, tree(3))
    jax.tree.map(np.testing.assert_array_equal, restore(saved), tree(3))


def test_all_damaged_is_none_and_the_same_step_can_be_damaged_twice(saved):
    truncate(saved / "2"), truncate(saved / "3")
    assert restore(saved) is None
    with Store(saved) as store:
        store.save(3, tree(3))
    truncate(saved / "3")
    assert restore(saved) is None
    assert {path.name for path in (saved / "damaged").iterdir() if path.is_dir()} == {"2", "3", "3_again"}


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "Input/output error"), ValueError("RESOURCE_EXHAUSTED: out of memory"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_is_not_of_the_checkpoint_leaves_it_alone(saved, monkeypatch, error):
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    with Store(saved, pauses=(0, 0)) as store:

        def fail(*_, **__):
            raise error

        monkeypatch.setattr(store._manager, "restore", fail)
        with pytest.raises(UserError, match="cannot be read.*run the same command again") as told:
            store.restore(tree(0), pytest.fail)
        assert str(saved / "3") in str(told.value) and "\n" not in str(told.value)
    assert {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()} == before
    jax.tree.map(np.testing.assert_array_equal, restore(saved), tree(3))


def test_a_file_that_cannot_be_read_proves_nothing(saved, monkeypatch):
    """The disk fails while the files are compared, too."""
    truncate(saved / "3")

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoint, "_file_digest", fail)
    with pytest.raises(UserError, match="Input/output error.*left as it is"):
        restore(saved)
    assert (saved / "3").exists() and not (saved / "damaged").exists()


def test_without_its_list_of_files_a_checkpoint_that_fails_is_left_alone(saved):
    (saved / "3" / checkpoint.FILES).unlink()
    jax.tree.map(np.testing.assert_array_equal, restore(saved), tree(3))
    truncate(saved / "3")
    with pytest.raises(UserError, match="move that folder away to go on from the checkpoint before it"):
        restore(saved)
    (saved / "3").rename(saved.parent / "away")
    jax.tree.map(np.testing.assert_array_equal, restore(saved), tree(2))


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), ValueError("RESOURCE_EXHAUSTED: No space left on device")],
)
def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch, error):
    with Store(tmp_path) as store:

        def fail(*_, **__):
            raise error

        monkeypatch.setattr(store._manager, "save", fail)
        with pytest.raises(UserError, match="the disk is full"):
            store.save(1, tree(1))


PASSING = [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    ValueError("UNAVAILABLE: Error writing local file"),
]


# What fails: the beginning of a save, its end in the background, and reading.
PLACES = {
    "begin": (ocp.CheckpointManager, "save"),
    "background": (checkpoint, "write_json"),
    "restore": (ocp.CheckpointManager, "restore"),
}


def failing(monkeypatch, place: str, times: int, error: Exception) -> list:
    """Lets something fail the first few times; returns what counts the calls."""
    owner, name = PLACES[place]
    method, calls = getattr(owner, name), []

    def call(*arguments, **options):
        calls.append(name)
        if len(calls) <= times:
            raise copy.copy(error)
        return method(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    return calls


@pytest.mark.parametrize("error", PASSING, ids=str)
@pytest.mark.parametrize("place", PLACES)
def test_what_the_storage_does_at_the_next_try_is_told_and_harms_nothing(tmp_path, monkeypatch, place, error):
    with pytest.warns(JaxstageWarning, match="(saving step 2 to|reading) .* failed .*: trying again in 0 s") as told:
        with Store(tmp_path, pauses=(0, 0, 0)) as store:
            store.save(1, tree(1))
            store._finish()
            failing(monkeypatch, place, 2, error)
            store.save(2, tree(2))
        with Store(tmp_path, pauses=(0, 0, 0)) as store:
            jax.tree.map(np.testing.assert_array_equal, store.restore(tree(0), pytest.fail), tree(2))
    assert len(told) == 2 and all("\n" not in str(one.message) for one in told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_a_state_that_was_given_up_leaves_its_place_to_the_next(tmp_path, monkeypatch):
    """Its buffers are those of the next step by the time that its save is known to have failed."""
    first = tree(1)
    failing(monkeypatch, "background", 1, PASSING[0])
    with Store(tmp_path, pauses=(0, 0, 0)) as store, pytest.warns(JaxstageWarning, match="saving step 1"):
        store.save(1, first)
        jax.tree.map(lambda leaf: leaf.delete(), first)
        store.save(2, tree(2))
    assert (tmp_path / "2").exists() and not (tmp_path / "1").exists()  # but its beginning, as after a kill
    jax.tree.map(np.testing.assert_array_equal, restore(tmp_path), tree(2))


@pytest.mark.parametrize("place", ["begin", "background"])
def test_what_stays_is_one_line_and_nothing_goes_even_when_a_signal_stops_the_run(tmp_path, monkeypatch, place):
    with Store(tmp_path) as store:
        store.save(1, tree(1))
    calls = failing(monkeypatch, place, 100, PASSING[0])
    with (
        pytest.warns(JaxstageWarning),
        pytest.raises(UserError, match="saving to .* failed .*: mend that and run the same command again") as told,
        Store(tmp_path, pauses=(0, 0)) as store,
    ):
        store.save(2, tree(2))
        raise Stopped(15)
    assert "\n" not in str(told.value) and len(calls) >= 3
    monkeypatch.undo()
    jax.tree.map(np.testing.assert_array_equal, restore(tmp_path), tree(1))


def test_digest_sees_values_shapes_and_types():
    base = np.zeros((2, 3), np.float32)
    others = [base + 1, base.reshape(3, 2), base.astype(np.int32)]
    assert digest([base]) == digest([base.copy()])
    assert len({digest([array]) for array in [base, *others]}) == 4
