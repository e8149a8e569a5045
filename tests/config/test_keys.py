import subprocess
import sys

import pytest

from jaxstage import config as configs
from jaxstage.config import files
from jaxstage.config.keys import KEYS, SECTIONS
from jaxstage.errors import UserError

PRESETS = [":".join(filter(None, [one.name, preset])) for one in files.known() for preset in one.presets or ("",)]


@pytest.mark.parametrize("config", PRESETS)
def test_every_config_has_the_keys_of_the_table(config):
    assert configs.flatten(configs.load(config)).keys() == KEYS.keys()


def test_the_default_is_as_the_table_has_it_and_passes_its_checks():
    config = configs.default()
    assert configs.flatten(config) == {name: key.default for name, key in KEYS.items()}
    configs.validate(config)
    with pytest.raises(AttributeError):
        config.growth.steps = 1


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.default is None])
def test_where_the_default_is_none_there_is_one_other_type(name):
    kind = KEYS[name].optional
    assert kind in (int, float, str)
    configs.load("digits", {name: kind("1")})
    with pytest.raises(UserError, match=f"config.{name}"):
        configs.validate(configs.load("digits", {name: (1,)}))


@pytest.mark.parametrize("value", [64, (48, 64), None])
def test_a_size_is_a_number_or_height_and_width(value):
    configs.validate(configs.load("digits", {"data.image_size": value}))


@pytest.mark.parametrize("value", ["64", (64,), (1, 2, 3), (0, 64), (64, 4097), (64, 1.5), (True, 64), True, ()])
def test_other_sizes_are_refused(value):
    with pytest.raises(UserError, match=r"config.data.image_size=.*: must be"):
        configs.validate(configs.load("digits", {"data.image_size": value}))


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.optional])
def test_what_is_optional_may_be_none(name):
    configs.validate(configs.load("digits", {name: None}))


def test_sections_and_families_are_those_of_the_keys():
    assert SECTIONS.keys() < {name.partition(".")[0] for name in KEYS if "." in name}
    families = set(KEYS["model.family"].choices)
    for name, key in KEYS.items():
        assert set(key.families) < families and (
            name.startswith("model.") or name == "convolutions" or not key.families
        )


def test_what_is_said_of_a_key_names_all_its_choices():
    for key in KEYS.values():
        assert all(choice in key.explanation for choice in key.choices)
    assert KEYS["model.dtype"].explanation.endswith("are always float32 (choices: float32, bfloat16)")
    assert KEYS["parallel"].explanation == "jit over a device mesh | pmap"


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("task", "dance", "'dance': choose one of search, train, transfer, evaluate"),
        (
            "importance.method",
            "x",
            "'x': choose one of perturbation, pls_vip, ablation, uniform, random, or your own as",
        ),
        ("batch_size", 0, "0: must be at least 1"),
        ("devices", 0, "0: must be at least 1 (or None)"),
        ("importance.examples", 0, "0: must be at least 1 (or None)"),
        ("optimizer.learning_rate", 0.0, "0.0: must be greater than 0"),
        ("growth.max_latency_ms", 0.0, "0.0: must be greater than 0 (or None)"),
        ("seed", -1, "-1: must not be negative"),
        ("growth.stop_probe", -1.0, "-1.0: must not be negative (or None)"),
        ("data.workers", -1, "-1: must not be negative (or None)"),
        ("model.bn_momentum", 1.0, "1.0: must be at least 0 and below 1"),
        ("data.validation", 0.0, "0.0: must lie between 0 and 1"),
        ("data.max_broken", 1.1, "1.1: must lie between 0 and 1"),
        ("data.crop_scale", (0.5,), "(0.5,): give the smallest and the largest share, like (0.08, 1.0), or ()"),
        ("importance.shares", 1, "1: must be at least 2, to know the scores' error"),
        ("importance.examples", 7, "7: must be at least importance.shares=8"),
        ("model.widths", (16, 0, 64), "(16, 0, 64): every stage needs a whole number of at least 1"),
        ("model.depths", (2, 2), "(2, 2) has 2 stages but config.model.widths=(16, 32, 64) has 3: give both the same"),
        ("growth.max_depth", (2, 2), "(2, 2): give a whole number of at least 1 for each of the 3 stages, or one for"),
        ("growth.max_depth", (0,), "(0,): give a whole number of at least 1 for each of the 3 stages, or one for all"),
        ("final.drop_epochs", (3,), "(3,): give the epochs of the drops with schedule step, and only with it"),
        ("candidate.warmup_epochs", 10.0, "10.0: must be less than candidate.epochs=10"),
        ("model.kernel", 5, "5: only model.family=mobilenet has it; leave it out"),
        ("model.kernel", (3, 5), "(3, 5): only model.family=mobilenet has it; leave it out"),
        ("model.strides", (3, 1), "(3, 1): must be 1 or 2"),
        ("model.padding", "valid", "'valid': choose one of same, torch"),
        ("data.dir", "gs://bucket/sets", "gs://bucket/sets: gs: is not supported, only paths on this machine"),
        (
            "compilation_cache",
            "gs://bucket/cache",
            "gs://bucket/cache: gs: is not supported, only paths on this machine",
        ),
    ],
)
def test_what_is_said_of_a_value_that_cannot_work(name, value, text):
    config = configs.default()
    config.update_from_flattened_dict({name: value})
    with pytest.raises(UserError) as error:
        configs.validate(config)
    assert str(error.value).startswith(f"config.{name}={text}")


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.own])
def test_what_may_be_ones_own_is_not_looked_up(name):
    configs.validate(configs.load("digits", {name: "mine:thing"}))


def test_importing_is_light():
    code = "import jaxstage.config, sys; print(sorted({'jax', 'tensorflow', 'flax', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
