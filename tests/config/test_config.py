import inspect
import pathlib
import runpy

import pytest

from jaxstage import config as configs
from jaxstage import models
from jaxstage.errors import UserError

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
NAMES = ("cifar10", "cifar100", "cifar10_nasnet", "cifar10_mobilenet")
CIFAR = [(name, preset) for name in NAMES for preset in ("full", "fast", "smoke")]
PAPER = [("cifar10_paper", preset) for preset in ("full", "smoke")]
IMAGENET = [
    *(("tiny_imagenet", preset) for preset in ("full", "smoke")),
    *(("imagenet_resized", preset) for preset in ("16", "32", "64")),
    *(("imagenet2012", preset) for preset in ("basic", "bottleneck")),
]


@pytest.mark.parametrize("name, preset", [("digits", None), *CIFAR, *PAPER, *IMAGENET])
def test_every_config_is_valid_and_says_how_to_run_it(name, preset):
    file = runpy.run_path(str(FOLDER / f"{name}.py"))
    config = file["get_config"](*[preset] if preset else [])
    configs.validate(config)
    assert config.data.name in (name, name.partition("_")[0], f"{name}/{preset}x{preset}")
    command = f"jaxstage search --config={name}"
    command += f":{preset}" if preset not in (None, "full") else ""
    assert command in file["__doc__"] and "Needs:" in file["__doc__"] and "Expect:" in file["__doc__"]


@pytest.mark.parametrize("name, preset", IMAGENET)
def test_configs_for_imagenet_search_train_and_transfer(name, preset):
    for task, source in {"search": None, "train": None, "transfer": "runs/cifar10"}.items():
        config = runpy.run_path(str(FOLDER / f"{name}.py"))["get_config"](preset)
        config.task, config.source = task, source
        configs.validate(config)


@pytest.mark.parametrize("preset", ["finetune", "head", "scratch"])
def test_the_config_of_a_transfer_needs_a_source(preset):
    file = runpy.run_path(str(FOLDER / "transfer.py"))
    config = file["get_config"](preset)
    with pytest.raises(UserError, match="config.source=None: give a work directory"):
        configs.validate(config)
    config.source = "runs/cifar10"
    configs.validate(config)
    assert config.transfer.mode == preset and "Needs:" in file["__doc__"] and "Expect:" in file["__doc__"]


def test_the_config_of_an_evaluation_needs_a_source():
    config = runpy.run_path(str(FOLDER / "evaluate.py"))["get_config"]()
    with pytest.raises(UserError, match="config.source=None: give a work directory"):
        configs.validate(config)
    config.source = "runs/digits"
    configs.validate(config)


def test_photos_need_pictures_and_may_have_a_source():
    file = runpy.run_path(str(FOLDER / "photos.py"))
    config = file["get_config"]()
    assert "--config=photos --config.source=runs/lite0 --config.data.folder=my_photos" in file["__doc__"]
    with pytest.raises(
        UserError, match="config.data.name='': name a data set, or give your pictures with config.data.folder"
    ):
        configs.validate(config)
    for source in (None, "runs/lite0"):
        config.data.folder, config.source = "my_photos", source
        configs.validate(config)


def test_every_config_file_is_tested():
    tested = {"digits", "evaluate", "photos", "train", "transfer"} | {name for name, _ in CIFAR + PAPER + IMAGENET}
    assert {path.stem for path in FOLDER.glob("*.py")} == tested


def test_unknown_preset_lists_the_known():
    with pytest.raises(UserError, match="'huge': choose one of full, fast, smoke"):
        runpy.run_path(str(FOLDER / "cifar10.py"))["get_config"]("huge")


def test_a_misspelt_key_in_a_config_file_is_an_error():
    with pytest.raises(AttributeError, match="batchsize"):
        configs.default().batchsize = 3


@pytest.mark.parametrize(
    "key, value",
    [
        ("model.depths", (2, 0, 2)),
        ("model.depths", (2, -1, 2)),
        ("model.depths", (2, 2)),
        ("model.depths", ()),
        ("model.widths", (16, 1.5, 64)),
        ("batch_size", 0),
        ("task", "dance"),
        ("importance.method", "magic"),
        ("importance.shares", 1),
        ("importance.examples", 7),
        ("inherit.method", "x"),
        ("optimizer.learning_rate", 0.0),
        ("optimizer.momentum", 1.0),
        ("data.validation", 1.0),
        ("growth.max_depth", (1,)),
        ("growth.max_depth", (2, 2)),
        ("growth.max_depth", (2, 0, 2)),
        ("candidate.warmup_epochs", 10.0),
        ("final.drop_epochs", (3,)),
        ("parallel", "threads"),
        ("growth.margin", -1.0),
        ("growth.rule", "magic"),
        ("devices", 0),
        ("data.copies", 0),
        ("optimizer.time_decay", -1e-6),
        ("data.name", ""),
        ("evaluate.latency_runs", 0),
        ("importance.examples", 0),
        ("data.input", "magic"),
        ("data.decoder", "magic"),
        ("data.crop_scale", (0.5, 0.1)),
        ("data.crop_scale", (0.5,)),
        ("data.max_broken", -0.1),
        ("data.workers", -1),
        ("data.image_size", 0),
        ("transfer.mode", "magic"),
        ("transfer.rate", 0.0),
        ("model.stem", "magic"),
        ("model.family", "magic"),
        ("model.kernel", 0),
        ("model.expansion", 4),
        ("growth.max_latency_ms", 0.0),
        ("growth.latency_batch", 0),
        ("growth.latency_table", "gs://bucket/phone.json"),
    ],
)
def test_values_that_cannot_work_are_named(key, value):
    config = configs.default()
    with config.unlocked():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError) as error:
        configs.validate(config)
    assert f"config.{key}" in str(error.value) and str(value) in str(error.value)


@pytest.mark.parametrize("family, build", models.FAMILIES.items())
def test_every_family_has_the_keys_that_it_can_be_built_with(family, build):
    options = set(inspect.signature(build).parameters) - {"num_classes", "axis_name", "convolutions"}
    shared = {"depths", "widths", "stem", "dtype", "bn_epsilon", "bn_momentum"}
    assert options == shared | set(configs.FAMILIES[family])
    assert (family in configs.KEYS["convolutions"].families) == ("convolutions" in inspect.signature(build).parameters)
    of_any = shared.union(*configs.FAMILIES.values(), {"family"})
    assert set(configs.default().model) == of_any and models.FAMILIES.keys() == configs.FAMILIES.keys()


@pytest.mark.parametrize("key, value, theirs", [("block", "bottleneck", "resnet"), ("kernel", 5, "mobilenet")])
def test_a_key_of_another_family_is_an_error(key, value, theirs):
    config = configs.default()
    config.model[key] = value
    for family in configs.FAMILIES:
        config.model.family = family
        if family == theirs:
            configs.validate(config)
        else:
            with pytest.raises(UserError, match=f"config.model.{key}={value!r}: only model.family={theirs} has it"):
                configs.validate(config)


def test_depths_have_one_limit_or_each_its_own():
    config = configs.default()
    for limits in ((), (2,), (2, 3, 4)):
        config.growth.max_depth = limits
        configs.validate(config)
    config.growth.max_depth = (4, 1, 4)
    with pytest.raises(UserError, match=r"deeper than config.growth.max_depth=\(4, 1, 4\)"):
        configs.validate(config)


def test_differences_ignore_what_changes_no_result():
    old, new = configs.plain(configs.default()), configs.plain(configs.default())
    new["data"]["dir"], new["log_every_steps"] = "elsewhere", 1
    assert configs.differences(old, new) == []
    new["model"]["depths"] = [3, 3, 3]
    assert configs.differences(old, new) == ["model.depths: [2, 2, 2] there, [3, 3, 3] now"]


def test_a_key_that_an_older_run_does_not_know_was_at_its_default():
    old, new = configs.plain(configs.default()), configs.plain(configs.default())
    del old["growth"]["latency_batch"]
    assert configs.differences(old, new) == []
    new["growth"]["latency_batch"] = 8
    assert configs.differences(old, new) == ["growth.latency_batch: 1 there, 8 now"]


def test_a_probe_that_is_none_cannot_be_stopped():
    config = configs.default()
    config.growth.rule, config.growth.stop_probe = "lowest_score", 3.0
    with pytest.raises(UserError, match="growth.stop_probe=3.0: growth.rule=lowest_score trains no probes"):
        configs.validate(config)


def test_a_rule_that_is_gone_is_named():
    config = configs.default()
    config.growth.rule = "added_blocks"
    with pytest.raises(UserError, match="growth.rule='added_blocks': choose one of auto, elastic, relative_rise, "):
        configs.validate(config)


def test_auto_is_elastic_unless_a_key_asks_for_scores():
    chosen = lambda **changes: configs.rule_of(
        configs.load("digits", {key.replace("__", "."): v for key, v in changes.items()})
    )
    assert chosen() == "elastic" == chosen(growth__rule="elastic")
    asking = (
        {"importance__method": "pls_vip"},
        {"growth__max_stages": 1},
        {"growth__stop_probe": 3.0},
        {"growth__stop_probe": 0.0},
    )
    assert {chosen(**changes) for changes in asking} == {"relative_rise"}
    assert chosen(growth__rule="lowest_score") == "lowest_score"
