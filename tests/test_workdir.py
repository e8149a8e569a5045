import pytest

from jaxstage import config as configs
from jaxstage.errors import UserError
from jaxstage.search import record as records
from jaxstage.workdir import claim, default_name


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
    with pytest.raises(UserError, match="batch_size: 128 there, 64 now; growth.step: 2 there, 1 now") as error:
        with claim(tmp_path / "run", config):
            pass
    assert "data.dir" not in str(error.value)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        with claim(tmp_path, configs.default()):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_processes_cannot_share_a_directory(tmp_path):
    with claim(tmp_path / "run", configs.default()):
        with pytest.raises(UserError, match="in use"):
            with claim(tmp_path / "run", configs.default()):
                pass
    with claim(tmp_path / "run", configs.default()):
        pass


def test_a_place_that_cannot_be_written_is_named():
    with pytest.raises(UserError, match="/proc/nowhere"):
        with claim(__import__("pathlib").Path("/proc/nowhere"), configs.default()):
            pass
