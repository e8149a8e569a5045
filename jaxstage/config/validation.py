"""The checks that a config has to pass before anything runs: of each key by the table, then of keys that go together."""

import sys
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxstage import plugins
from jaxstage.config.defaults import Config, is_finetuning, rule_of
from jaxstage.config.forms import flatten
from jaxstage.config.key import EVERY_STAGE, MOST_BLOCKS, MOST_STAGES, Key
from jaxstage.config.keys import KEYS
from jaxstage.errors import UserError, brief, some
from jaxstage.files import in_one_line, local

KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "text of one line, without control characters",
    (tuple, int): "a tuple of whole numbers, like (1, 2)",
    (tuple, float): "a tuple of finite numbers, like (0.5, 1.0)",
}
FINETUNING = ("transfer.layer_decay", "transfer.head_epochs")
WITH_ERROR = ("perturbation", "ablation")  # importances that come with a standard error


def validate(config: Config) -> None:
    """Raises UserError, naming key and value, for the first value that cannot work."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"a config is expected, not {plugins.shown(config)}: start from jaxstage.config.default()")
    flat = flatten(config)
    if wrong := KEYS.keys() ^ flat.keys():
        raise UserError(f"config keys missing or unknown: {some(sorted(wrong))}; start from jaxstage.config.default()")
    for name, key in KEYS.items():
        check_key(name, key, flat[name])
    _check_importance(config)
    _check_probes(config)
    for training in ("candidate", "final"):
        _check_training(config, training)
    _check_task(config)
    _check_finetuning(config, flat)
    if rule_of(config) == "elastic":
        _check_elastic(config)
    else:
        _check_scores(config)
    _check_stages(config)
    if config.source is None:
        check_limits(config)
    _check_model(config, flat)


def _require(ok: bool, name: str, value: Any, remedy: str) -> None:
    if not ok:
        raise UserError(f"config.{name}={brief(value)}: {remedy}")


def check_key(name: str, key: Key, value: Any) -> None:
    """Raises UserError, naming key and value, if a key cannot have the value, whatever the others are."""
    if key.optional and value is None:
        return
    _check_type(name, key, value)
    if key.choices:
        known = value in key.choices or key.own and plugins.is_own(value)
        own = ", or your own as MODULE:FUNCTION" if key.own else ""
        _require(known, name, value, f"choose one of {', '.join(key.choices)}{own}")
    if key.check:
        none = " (or None)" if key.optional else ""
        each = _each(value) if key.also_tuple else (value,)
        _require(all(map(key.check.holds, each)), name, value, f"{key.check.remedy}{none}")
    if key.path and value and value != key.default:  # ours may be in a home directory that is not there
        local(value, f"config.{name}")


def _check_type(name: str, key: Key, value: Any) -> None:
    items = _each(value)
    kind, expected = (key.items, KINDS[tuple, key.items]) if key.kind is tuple else (key.kind, KINDS[key.kind])
    expected += ", or a tuple with one for each stage" if key.each_stage else ""
    expected += ", or (height, width)" if key.height_width else ""
    shaped = key.also_tuple or (type(value) is tuple) == (key.kind is tuple)
    shaped = shaped and not (key.height_width and type(value) is tuple and len(value) != 2)
    fits = shaped and all(_is_a(kind, item) for item in items)
    none = " (or None)" if key.optional else ""
    _require(fits, name, value, f"must be {expected}{none}")
    _require(len(items) <= MOST_STAGES, name, value, f"must have at most {MOST_STAGES} numbers")
    small = kind is not int or all(item <= key.most for item in items)
    _require(small, name, value, f"must be at most {key.most:,}{none}")


def _each(value: Any) -> tuple:
    return value if type(value) is tuple else (value,)


def _is_a(kind: type, value: Any) -> bool:
    """Whether a value is of a type; True is no whole number, and NaN and infinity are no numbers."""
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is kind and (kind is not str or in_one_line(value))


def _check_importance(config: Config) -> None:
    examples, shares = config.importance.examples, config.importance.shares
    enough = examples is None or examples >= shares
    _require(enough, "importance.examples", examples, f"must be at least importance.shares={shares}")


def _check_probes(config: Config) -> None:
    stop, method = config.growth.stop_probe, config.importance.method
    if stop is None:
        return
    _require(
        config.growth.rule != "lowest_score",
        "growth.stop_probe",
        stop,
        "growth.rule=lowest_score trains no probes: leave it out",
    )
    _require(
        method in WITH_ERROR,
        "growth.stop_probe",
        stop,
        f"importance.method={method} gives no error to compare with; only {', '.join(WITH_ERROR)} do",
    )


def _check_training(config: Config, name: str) -> None:
    training = config[name]
    _require(
        (training.schedule == "step") == bool(training.drop_epochs),
        f"{name}.drop_epochs",
        training.drop_epochs,
        "give the epochs of the drops with schedule step, and only with it",
    )
    _require(
        training.warmup_epochs < training.epochs,
        f"{name}.warmup_epochs",
        training.warmup_epochs,
        f"must be less than {name}.epochs={training.epochs}",
    )


def _check_task(config: Config) -> None:
    if config.source is None:
        can_start_afresh = config.task in ("search", "train")
        _require(can_start_afresh, "source", None, f"give a work directory: task {config.task} starts from one")
    else:
        grows_head = config.task == "search" and config.transfer.mode == "head"
        remedy = "a search grows more than the head: use finetune or scratch"
        _require(not grows_head, "transfer.mode", config.transfer.mode, remedy)
    named = config.data.name or config.data.folder or config.task == "evaluate"
    _require(named, "data.name", config.data.name, "name a data set, or give your pictures with config.data.folder")


def _check_finetuning(config: Config, flat: dict[str, Any]) -> None:
    finetunes = is_finetuning(config) and config.transfer.mode == "finetune"
    for name in FINETUNING:
        remedy = (
            "only of task transfer, or of an elastic search from a source, with transfer.mode=finetune: leave it out"
        )
        _require(finetunes or flat[name] == KEYS[name].default, name, flat[name], remedy)
    frozen = config.transfer.frozen_statistics
    remedy = "only of task transfer, as the states of an elastic network have statistics of their own: leave it out"
    _require(finetunes and config.task == "transfer" or not frozen, "transfer.frozen_statistics", frozen, remedy)
    training = "candidate" if config.task == "search" else "final"
    first, epochs = config.transfer.head_epochs, config[training].epochs
    _require(first < epochs, "transfer.head_epochs", first, f"must be less than {training}.epochs={epochs}")


def _check_elastic(config: Config) -> None:
    growth, method, depths = config.growth, config.importance.method, config.model.depths
    by_itself = "growth.rule=elastic measures importance by switching blocks off: leave it out"
    _require(method == "perturbation", "importance.method", method, by_itself)
    tuples = "growth.rule=elastic chooses whole tuples: leave it out"
    _require(growth.max_stages is None, "growth.max_stages", growth.max_stages, tuples)
    probes = "growth.rule=elastic trains no probes: leave it out"
    _require(growth.stop_probe is None, "growth.stop_probe", growth.stop_probe, probes)
    cells = "growth.rule=elastic switches off cells from the third of a stage on: start from 2"
    least = ("growth.min_depth", growth.min_depth) if growth.min_depth else ("model.depths", depths)
    _require(config.model.family != "nasnet" or min(*depths, *growth.min_depth) >= 2, *least, cells)


def _check_scores(config: Config) -> None:
    for key, usual in (("min_depth", ()), ("within", None)):
        remedy = f"only growth.rule=elastic takes it, not {rule_of(config)}: leave it out"
        _require(config.growth[key] == usual, f"growth.{key}", config.growth[key], remedy)


def _check_stages(config: Config) -> None:
    depths, widths = config.model.depths, config.model.widths
    stages = len(depths)
    if stages != len(widths):
        raise UserError(
            f"config.model.depths={depths} has {stages} stages but config.model.widths={widths} has {len(widths)}: "
            "give both the same length"
        )
    _require(sum(depths) <= MOST_BLOCKS, "model.depths", depths, f"must be at most {MOST_BLOCKS:,} blocks in all")


def check_limits(config: Config) -> None:
    """Raises UserError unless the limits of depth are of the network that a search is given, which may be a source's."""
    depths, limits = config.model.depths, config.growth.max_depth
    stages = len(depths)
    for name in ("growth.min_depth", "growth.max_depth"):
        value = config.growth[name.removeprefix("growth.")]
        _require(
            not value or len(value) in (1, stages) and EVERY_STAGE.holds(value),
            name,
            value,
            f"give a whole number of at least 1 for each of the {stages} stages, or one for all, like (8,)",
        )
    within = all(depth <= limit for depth, limit in zip(depths, limits * (stages if len(limits) == 1 else 1)))
    _require(within, "model.depths", depths, f"deeper than config.growth.max_depth={limits}")


def _check_model(config: Config, flat: dict[str, Any]) -> None:
    model = config.model
    if config.convolutions == "native":
        remedy = "it computes in model.dtype=float32 only"
        _require(model.dtype == "float32", "convolutions", config.convolutions, remedy)
    if plugins.is_own(model.family):
        return
    for name, key in KEYS.items():
        if key.families and model.family not in key.families:
            remedy = f"only model.family={' and '.join(key.families)} has it; leave it out"
            _require(flat[name] == key.default, name, flat[name], remedy)
    if problem := problem_of_stages(model):
        raise UserError(f"config.{problem}")
    first = 8 if model.stem == "imagenet" else 2
    enough = model.family != "nasnet" or min(model.widths) >= 2 and model.widths[0] >= first
    _require(enough, "model.widths", model.widths, f"cells need at least 2 filters, {first} in the first stage")


def problem_of_stages(model: Mapping[str, Any]) -> str | None:
    """What of a config's `model` part does not go together with its stages or its padding, by key and value; or None."""
    for name, key in KEYS.items():
        value = model.get(name.removeprefix("model."), key.default) if key.each_stage else None
        if isinstance(value, (tuple, list)) and len(value) != len(model["widths"]):
            stages = len(model["widths"])
            return (
                f"{name}={brief(value)} has {len(value)} numbers for {stages} stages: give one, or one for each stage"
            )
    kernels = model.get("kernel", 1)
    even = any(size % 2 == 0 for size in (kernels if isinstance(kernels, (tuple, list)) else (kernels,)))
    if model.get("padding") == "torch" and even:
        return f"model.kernel={brief(kernels)}: must be odd where model.padding=torch"
    return None
