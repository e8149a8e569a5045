"""What the chaos test calls a loss."""

import json
import random
import shutil

import pytest

from tests.chaos import harm, keeping


@pytest.fixture
def workdir(tmp_path):
    """A run that is complete, as far as the checks look at it."""
    (tmp_path / "search.json").write_text(json.dumps({"candidates": [{"name": "final"}], "rounds": [], "test": {}}))
    for step in (2, 4):
        (tmp_path / f"checkpoints/final/{step}").mkdir(parents=True)
        (tmp_path / f"checkpoints/final/{step}/files.json").write_text("{}")
    (tmp_path / "final").mkdir()
    (tmp_path / "final/architecture.json").write_text("{}")
    keeping.put_foreign(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name, told",
    [
        ("notes.txt", "notes.txt is not as it was"),
        ("checkpoints/final/4", "4 is gone"),
        ("search.json", "says less"),
        ("final", "was handed over"),
    ],
)
def test_what_is_removed_is_a_loss(workdir, name, told):
    before = keeping.kept(workdir)
    assert keeping.losses(workdir, before, [], shared=True) == []
    (shutil.rmtree if (workdir / name).is_dir() else type(workdir).unlink)(workdir / name)
    (found,) = keeping.losses(workdir, before, [], shared=True)
    assert told in found


def test_newer_checkpoints_take_the_place_of_old_ones(workdir):
    before = keeping.kept(workdir)
    shutil.rmtree(workdir / "checkpoints/final/2")
    assert keeping.losses(workdir, before, [], shared=True)
    (workdir / "checkpoints/final/6").mkdir()
    assert keeping.losses(workdir, before, [], shared=True) == []


def test_damage_may_be_set_aside_and_not_removed(workdir):
    before, path = keeping.kept(workdir), workdir / "search.json"
    shutil.copy(path, workdir / "search.json.copy")
    path.write_text("{]")
    hurt = harm.Damage("", {path: b"{}"}, {path: harm.digest(path)}, plain=(path,))
    path.rename(workdir / "aside")
    assert keeping.losses(workdir, before, [hurt], shared=True) == []
    (workdir / "aside").unlink()
    assert keeping.losses(workdir, before, [hurt], shared=True) == [f"{path} was damaged and is gone"]


def test_damage_is_undone_to_the_last_byte(workdir):
    path = workdir / "checkpoints/final/2/files.json"
    path.write_bytes(bytes(range(256)))
    for seed in range(40):
        if done := harm.checkpoint(workdir, random.Random(seed)):
            (hurt,) = done.before
            assert done.unseen() and not (hurt.exists() and hurt.read_bytes() == done.before[hurt])
            done.mend()
            assert path.read_bytes() == bytes(range(256))
