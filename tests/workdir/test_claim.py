import json
import pathlib

import pytest

from jaxstage import config as configs
from jaxstage.errors import UserError
from jaxstage.workdir import kept
from jaxstage.workdir import record as records
from jaxstage.workdir.claim import MARK, claim, default_name, occupy


def test_the_same_command_finds_its_directory_again():
    config = configs.default()
    name = default_name("configs/cifar10.py:smoke", config)
    assert name.startswith("runs/cifar10-smoke-") and name == default_name("configs/cifar10.py:smoke", config)
    config.seed = 1
    assert name != default_name("configs/cifar10.py:smoke", config)


def test_another_config_is_refused_and_what_differs_is_listed(tmp_path):
    config = configs.default()
    with claim(tmp_path / "run", config):
        records.save(records.Record(), tmp_path / "run")
    config.batch_size, config.growth.step, config.data.dir = 64, 1, "elsewhere"
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(UserError, match="batch_size: None there, 64 now; growth.step: 2 there, 1 now") as error:
        with claim(tmp_path / "run", config):
            pass
    assert "data.dir" not in str(error.value)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not empty"), claim(tmp_path, configs.default()):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def contents(folder: pathlib.Path) -> dict:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_folder_from_elsewhere_is_left_alone(tmp_path):
    """It has a config.json, weights and a final/, as some of a hub have."""
    (tmp_path / "final").mkdir()
    (tmp_path / "config.json").write_text('{"model_type": "resnet", "depths": [3, 4, 6, 3]}')
    (tmp_path / "final" / "model.safetensors").write_bytes(b"precious")
    before = contents(tmp_path)
    for enter in (lambda: claim(tmp_path, configs.default()), lambda: occupy(tmp_path)):
        with pytest.raises(UserError, match="not empty and not a run of jaxstage"), enter():
            pass
    assert contents(tmp_path) == before


def test_a_run_carries_a_mark_and_one_without_goes_on_when_somebody_gives_it_one(tmp_path):
    workdir = tmp_path / "run"
    with claim(workdir, configs.default()):
        records.save(records.Record(), workdir)
    assert json.loads((workdir / MARK).read_text()) == {"format": 1}
    (workdir / MARK).unlink()
    before = contents(workdir)
    with pytest.raises(UserError, match=f"create the empty file {workdir / MARK} to go on"):
        with claim(workdir, configs.default()):
            pass
    assert contents(workdir) == before
    (workdir / MARK).touch()
    with claim(workdir, configs.default()):
        pass
    assert json.loads((workdir / MARK).read_text()) == {"format": 1}


def test_an_empty_directory_becomes_a_run(tmp_path):
    with claim(tmp_path, configs.default()):
        assert (tmp_path / MARK).exists()


def test_a_new_key_of_the_config_does_not_rename_directories(monkeypatch):
    """Only what differs from the defaults is in the name."""
    config = configs.default()
    config.seed = 3
    before = default_name("digits", config)
    with config.unlocked():
        config.new_key = "as usual"
    usual = configs.default()
    with usual.unlocked():
        usual.new_key = "as usual"
    monkeypatch.setattr("jaxstage.workdir.claim.default", lambda: usual)
    assert default_name("digits", config) == before


def test_two_processes_cannot_share_a_directory(tmp_path):
    with claim(tmp_path / "run", configs.default()), pytest.raises(UserError, match="in use"):
        with claim(tmp_path / "run", configs.default()):
            pass
    with claim(tmp_path / "run", configs.default()):
        pass


def test_a_place_that_cannot_be_written_is_named():
    with pytest.raises(UserError, match="/proc/nowhere"), claim(pathlib.Path("/proc/nowhere"), configs.default()):
        pass


@pytest.mark.parametrize("name", ["run[1]", "lr=0.1,seed=[0]/run"])
def test_brackets_are_refused_before_anything_is_there(tmp_path, name):
    """Orbax 0.12 does not find its own files below such a folder."""
    with pytest.raises(UserError, match="has brackets, under which Orbax loses checkpoints: choose another directory"):
        with claim(tmp_path / name, configs.default()):
            pass
    assert not contents(tmp_path)


@pytest.mark.parametrize("name", ["config.json", ".jaxstage"])
def test_a_directory_in_the_place_of_a_file_is_named(tmp_path, name):
    with claim(tmp_path / "run", configs.default()):
        pass
    (tmp_path / "run" / "search.json").write_text("{}")
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).mkdir()
    told = {
        "config.json": "config.json is not a file: move it away",
        ".jaxstage": "looks like a run of a jaxstage that left",
    }
    with pytest.raises(UserError, match=told[name]):
        with claim(tmp_path / "run", configs.default()):
            pass


FILES = ("config.json", "config.json.copy", "search.json", "search.json.copy")


def begun(workdir):
    """A work directory of a run that has begun."""
    with claim(workdir, configs.default()):
        records.save(records.Record(stop_reason="so"), workdir)
    return contents(workdir)


@pytest.mark.parametrize("name", ["config.json", "search.json"])
@pytest.mark.parametrize("damage", ["half", "", "\xff", "\0" * 99, "[]", '{"task": 5, "stop_reason": 5}', None])
def test_what_is_damaged_is_set_aside_and_its_copy_takes_its_place(tmp_path, name, damage):
    before, told = begun(tmp_path / "run"), []
    path = tmp_path / "run" / name
    text = path.read_text()[:99] if damage == "half" else damage
    path.unlink() if text is None else path.write_text(text, encoding="latin-1")
    with claim(tmp_path / "run", configs.default(), told.append):
        assert records.load(tmp_path / "run").stop_reason == "so"
    assert len(told) == 1 and f"{name}.copy is used in its place" in told[0] and "\n" not in told[0]
    after = contents(tmp_path / "run")
    assert {key: after.pop(key) for key in before} == before
    aside = {} if text is None else {pathlib.Path("damaged", name): text.encode("latin-1")}
    assert {key: value for key, value in after.items() if key.suffix != ".txt"} == aside


@pytest.mark.parametrize("name", ["config.json", "config.json.copy", "search.json", "search.json.copy"])
def test_a_changed_letter_that_still_reads_as_json_is_damage(tmp_path, name):
    before, told = begun(tmp_path), []
    path = tmp_path / name
    harmed = path.read_text().replace("inherit", "inherkt").replace('"so"', '"no"')
    path.write_text(harmed)
    with claim(tmp_path, configs.default(), told.append):
        assert records.load(tmp_path).stop_reason == "so"
    assert len(told) == 1 and f"{name} {'was' if 'copy' in name else 'is'} damaged" in told[0]
    after = contents(tmp_path)
    assert {key: after[key] for key in before} == before
    assert (tmp_path / "damaged" / name).read_text() == harmed


def test_two_changed_letters_one_in_the_file_and_one_in_its_copy_are_told(tmp_path):
    """The chaos test's find: a final network whose role was fin`l was looked for, and trained, for ever."""
    begun(tmp_path)
    for name in ("search.json", "search.json.copy"):
        (tmp_path / name).write_text(
            (tmp_path / name).read_text().replace('"so"', '"no"' if "copy" in name else '"go"')
        )
    before = contents(tmp_path)
    with pytest.raises(UserError, match="search.json is damaged .it is not what was written. and .* is damaged, too"):
        with claim(tmp_path, configs.default(), pytest.fail):
            pass
    assert contents(tmp_path) == before


@pytest.mark.parametrize("damage", ["", "{}", "[]", "\0" * 99, '{"stop_reason": "no"}'])
def test_a_file_that_is_whole_needs_no_copy(tmp_path, damage):
    begun(tmp_path)
    told = []
    (tmp_path / "search.json.copy").write_text(damage)
    with claim(tmp_path, configs.default(), told.append):
        assert records.load(tmp_path).stop_reason == "so"
    assert len(told) == 1 and "search.json.copy was damaged and is written anew" in told[0]


def test_a_changed_letter_is_told_where_the_copy_is_gone(tmp_path):
    begun(tmp_path)
    (tmp_path / "search.json.copy").unlink()
    (tmp_path / "search.json").write_text((tmp_path / "search.json").read_text().replace('"so"', '"no"'))
    with pytest.raises(UserError, match="search.json is damaged .it is not what was written. and .* is missing"):
        with claim(tmp_path, configs.default(), pytest.fail):
            pass


def test_damage_beyond_the_copies_is_told_and_nothing_touched(tmp_path):
    begun(tmp_path)
    for name in ("config.json", "search.json"):
        whole = {part: (tmp_path / part).read_bytes() for part in FILES}
        for part in (name, f"{name}.copy"):
            (tmp_path / part).write_text("{")
        before = contents(tmp_path)
        with pytest.raises(UserError, match=f"{name} is damaged .* and {name}.copy is damaged, too: .*from a backup"):
            with claim(tmp_path, configs.default(), pytest.fail):
                pass
        assert contents(tmp_path) == before
        for part, data in whole.items():
            (tmp_path / part).write_bytes(data)


def test_a_record_of_a_newer_version_is_refused_and_nothing_touched(tmp_path):
    begun(tmp_path)
    kept.write(tmp_path / "search.json", {"format": 2})
    before = contents(tmp_path)
    with pytest.raises(UserError, match="of another version"), claim(tmp_path, configs.default(), pytest.fail):
        pass
    assert contents(tmp_path) == before


def test_a_damaged_record_of_another_config_is_left_alone(tmp_path):
    begun(tmp_path)
    (tmp_path / "search.json").write_text("{")
    before, config = contents(tmp_path), configs.default()
    config.seed = 7
    with pytest.raises(UserError, match="another config"), claim(tmp_path, config, pytest.fail):
        pass
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "tensorboard"])
def test_a_file_for_a_folder_and_the_other_way_round_is_one_line(tmp_path, name):
    begun(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).mkdir() if name.endswith(".jsonl") else (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"{name} is not a .*: move it away"), claim(tmp_path, configs.default()):
        pass
