"""Every config key with its default, and the checks that a config has to pass before anything runs."""

import difflib
import os
import runpy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_collections import config_dict

from jaxstage import plugins
from jaxstage.config import files as config_files
from jaxstage.config.moved import MOVED, knowing_old_names, renewed
from jaxstage.errors import UnknownPreset, UserError, first_line
from jaxstage.files import local

if TYPE_CHECKING:

    class Config(config_dict.ConfigDict):
        """A ConfigDict with the keys of `default`, which type checkers do not know."""

        def __getattr__(self, attribute: str) -> Any: ...
        def __setattr__(self, attribute: str, value: Any) -> None: ...
        def __getitem__(self, key: str) -> Any: ...
else:
    Config = config_dict.ConfigDict

# Each family with the keys of `model` that not every family has.
FAMILIES = {
    "resnet": ("block", "conv_bias", "shortcut_norm"),
    "nasnet": (),
    "mobilenet": ("expansion", "kernel", "stem_width", "head_width"),
}
AUTO = "auto"  # what suits the rest of the config or the data
BLOCKS = ("basic", "bottleneck")
DTYPES = ("float32", "bfloat16")
CONVOLUTIONS = ("xla", "native")
WITH_NATIVE = ("resnet", "mobilenet")  # families
NORMALIZATIONS = ("channel", "pixel")
SCHEDULES = ("constant", "cosine", "step")
WITH_ERROR = ("perturbation", "ablation")  # importances that come with a standard error
IMPORTANCES = ("perturbation", "pls_vip", "ablation", "uniform", "random")
RULES = ("elastic", "relative_rise", "absolute_rise", "lowest_score")
INHERITANCES = ("identity", "gauss", "copy", "scratch")
PARALLEL = ("jit", "pmap")
TASKS = ("search", "train", "transfer", "evaluate")
INPUTS = ("auto", "resident", "streaming")
DECODERS = ("pillow", "opencv")
TRANSFERS = ("finetune", "head", "scratch")

CHOICES = {
    "task": TASKS,
    "model.family": FAMILIES,
    "model.block": BLOCKS,
    "model.stem": ("cifar", "cifar_stride2", "imagenet", AUTO),
    "model.dtype": DTYPES,
    "data.normalize": NORMALIZATIONS,
    "data.input": INPUTS,
    "data.decoder": DECODERS,
    "candidate.schedule": SCHEDULES,
    "final.schedule": SCHEDULES,
    "importance.method": IMPORTANCES,
    "growth.rule": (AUTO, *RULES),
    "inherit.method": INHERITANCES,
    "parallel": PARALLEL,
    "convolutions": CONVOLUTIONS,
    "transfer.mode": TRANSFERS,
}

OWN = ("model.family", "importance.method", "growth.rule")  # may also name something of yours, see jaxstage/plugins.py

# Where a run keeps its files and how often it saves may change between a kill and a resume: neither alters a result.
MAY_CHANGE = (
    "trust_source",
    "data.dir",
    "data.workers",
    "data.max_broken",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "log_every_steps",
    "profile",
    "compilation_cache",
    "energy.device_watts",
    "energy.kg_per_kwh",
)


def default() -> Config:
    """The config that every file in configs/ starts from; locked, so a misspelt key is an error.

    Keys whose default is None are optional: integers, except source, data.dir and growth.latency_table (text) and
    growth.stop_probe, growth.max_latency_ms and energy.device_watts (floats).
    """
    integer = lambda: config_dict.placeholder(int)
    text = lambda: config_dict.placeholder(str)
    config = config_dict.create(
        task="search",  # search: find depths, then train them | train: model.depths as they are | transfer | evaluate
        # A finished run. evaluate looks at its network, transfer trains it on other data, search grows it further
        # there; `model` is then the source's, except for stem and dtype.
        source=text(),
        trust_source=False,  # whether to import code that the source names, MODULE:FUNCTION, and this config does not
        seed=0,  # of everything random
        batch_size=128,  # images a step, over all devices
        data=config_dict.create(
            name="digits",  # digits, any TFDS image-classification set, or your own as MODULE:FUNCTION
            dir=text(),  # where TFDS sets lie; None: TFDS_DATA_DIR or ~/tensorflow_datasets
            validation=0.1,  # share of the training data that is held out for validation, stratified
            examples=integer(),  # use only so many of the training split, stratified; None: all
            input="auto",  # resident: on the devices | streaming: from disk | auto: resident up to 8 GiB of one size
            image_size=integer(),  # pixels a side that the network takes; None: the set's own
            crop_scale=(),  # streaming: share of the area that a random crop takes, (0.08, 1.0); (): the centre
            decoder="pillow",  # streaming: pillow | opencv, for which install jaxstage[opencv]
            workers=integer(),  # streaming: processes that decode; None: one less than there are cores; 0: threads
            max_broken=0.001,  # streaming: share of a split's images that may be unreadable, one in any case
            normalize="channel",  # channel: mean and deviation a channel | pixel: mean image only
            crop_padding=4,  # pad and crop at random; 0: no cropping
            flip=True,  # mirror at random
            copies=1,  # how often an epoch shows each image, each time augmented anew
        ),
        model=config_dict.create(
            # resnet | nasnet: NASNet-A cells | mobilenet: inverted-residual blocks | your own as MODULE:FUNCTION
            family="resnet",
            depths=(2, 2, 2),  # where the search starts: blocks a stage
            widths=(16, 32, 64),  # filters of each stage
            stem="cifar",  # cifar | cifar_stride2 | imagenet | auto: by the resolution, see jaxstage/models/stem.py
            dtype="float32",  # of the computation; parameters are always float32
            bn_epsilon=1e-5,  # added to BatchNorm's variance
            bn_momentum=0.9,  # share of the old value in BatchNorm's running averages
            block="basic",  # resnet: basic | bottleneck, which puts out four times its width
            conv_bias=False,  # resnet: whether convolutions have a bias
            shortcut_norm=True,  # resnet: whether BatchNorm follows the convolution of a shortcut
            expansion=3,  # mobilenet: channels inside a block for each of its input
            kernel=3,  # mobilenet: pixels a side of the depthwise convolutions
            stem_width=32,  # mobilenet; the others' stems have widths[0]
            head_width=1280,  # mobilenet: channels after the last stage
        ),
        optimizer=config_dict.create(  # SGD
            learning_rate=0.1,  # after the warm-up
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,  # not on BatchNorm and biases; half of it is the factor of Keras's L2
            decay_head=True,  # whether the last, dense layer decays too
            time_decay=0.0,  # the rate is divided by 1 + time_decay * step, Keras's `decay`
            label_smoothing=0.0,  # share of the target that is spread over all classes
        ),
        candidate=_training(epochs=10, schedule="constant"),  # the training of each candidate of the search
        final=_training(epochs=100, schedule="cosine"),  # that of the network that is found
        importance=config_dict.create(
            # perturbation | pls_vip: the paper's | ablation | uniform, random: controls | your own as MODULE:FUNCTION
            method="perturbation",
            examples=512,  # calibration images, from the training data; None: all of it
            sigma=0.05,  # size of the perturbation relative to each filter's norm
            shares=8,  # parts of these images that are scored apart: the spread over them is the scores' error
        ),
        growth=config_dict.create(
            step=2,  # blocks added to a stage at once
            # auto: elastic, or relative_rise where importance.method, max_stages or stop_probe ask for scores |
            # elastic: an elastic network, whose blocks beyond model.depths can be switched off, is read in all its
            # states | the others compare scores of importance. What counts: relative_rise, absolute_rise: the rise of a
            # stage's score from the candidate to the probe | lowest_score: how far the stage's score in the candidate
            # falls short of the stages' mean; without any probe.
            # | your own as MODULE:NAME
            rule="relative_rise",
            margin=1.0,  # it counts if it is above so many of its standard errors
            least_gain=0.02,  # elastic, without a budget: nats that twice the MACs (or the latency) must gain
            # A probe's training ends, from halfway, at the first epoch after which the evidence for every stage is
            # more than so many standard errors away from the margin. None: it is never cut short.
            stop_probe=config_dict.placeholder(float),
            max_stages=integer(),  # stages grown in a round, best first; None: all for which it counts
            max_rounds=5,  # comparisons of a candidate with its probe
            max_depth=(),  # blocks in a stage: one number for each, or (n,) for all; (): any number
            max_parameters=integer(),  # of the network that is found
            max_macs=integer(),  # likewise, for one image
            # Likewise, milliseconds for a batch, of the network as it is handed over. Measured once on this machine, as
            # `jaxstage latency` does, and kept in WORKDIR/latency.json; or for another device, with latency_table.
            max_latency_ms=config_dict.placeholder(float),
            latency_table=text(),  # file that `jaxstage latency` wrote, on the device that counts; None: this machine
            latency_batch=1,  # images of such a batch
        ),
        inherit=config_dict.create(
            # Of new blocks. identity: the deeper network computes the same | gauss | copy: of the stage's last block |
            # scratch: nothing is inherited
            method="identity",
            gauss_scale=0.1,  # deviation of the new blocks' last BatchNorm scales under gauss
        ),
        transfer=config_dict.create(  # what a source's weights are used for, see jaxstage/depth_search/transfer.py
            mode="finetune",  # finetune | head: the rest is frozen | scratch: the architecture alone
            rate=0.1,  # finetune: the learning rate of what is inherited, as a part of the new head's
        ),
        evaluate=config_dict.create(
            split="test",  # test: what a search keeps for its end; or a split by its name in the data set
            latency_runs=30,  # the latency is the median of so many
        ),
        energy=config_dict.create(
            device_watts=config_dict.placeholder(float),  # None: read from the GPU's driver, else a typical value
            kg_per_kwh=0.475,  # CO2 equivalent of the grid; this is the world's mean (IEA, 2019)
        ),
        parallel="jit",  # jit over a device mesh | pmap
        devices=integer(),  # how many to use; None: all
        # resnet, mobilenet: xla | native: our own kernels for CPUs, compiled by this machine's C++ compiler when they
        # are first used; float32 on one device. Residual networks train about 1.8 times as fast.
        convolutions="xla",
        checkpoint=config_dict.create(
            every_steps=integer(),  # None: once an epoch
            keep=2,  # of each candidate; an older one is the way back when the newest is damaged
        ),
        steps_per_dispatch=integer(),  # done by the devices without the host; None: 1 on CPUs, else up to 32
        log_every_steps=10,  # means over so many steps go to metrics.jsonl and TensorBoard
        profile=False,  # trace a few steps of every training run into WORKDIR/profile/, for TensorBoard or Perfetto
        compilation_cache="~/.cache/jaxstage",  # compiled programs are kept here between runs; "": nowhere
    )
    return knowing_old_names(config).lock()  # pyright: ignore[reportReturnType]


def _training(epochs: int, schedule: str) -> Config:
    return config_dict.create(  # pyright: ignore[reportReturnType]
        epochs=epochs,  # passes over the training data
        schedule=schedule,  # of the learning rate, after the warm-up
        warmup_epochs=0.5,  # over which the rate rises
        drop_epochs=(),  # schedule step: the rate falls by drop_factor at these epochs
        drop_factor=0.1,
    )


def load(file: str | os.PathLike, overrides: dict | None = None) -> Config:
    """The config that a file makes, as --config does.

    Example:
      config = jaxstage.config.load("cifar10:smoke", {"seed": 1, "growth.max_rounds": 3})

    Args:
      file: FILE or FILE:PRESET, a path or the name of one that comes along, see `jaxstage.config.files`.
      overrides: values by key.

    Raises:
      UserError: there is no such file, preset or key, or a value has another type.
    """
    path, *preset = config_files.find(file).split(":", 1)
    config = runpy.run_path(path)["get_config"](*preset)
    for key, value in (overrides or {}).items():
        if problem := unknown_key(key):
            raise UserError(problem)
        try:
            config.update_from_flattened_dict({key: value})
        except (TypeError, ValueError) as error:
            raise UserError(f"config.{key}={value!r}: {first_line(error)}") from error
    return config


def rule_of(config: Config) -> str:
    """The growth rule that a config searches by: what `auto` stands for, or its own."""
    if config.growth.rule != AUTO:
        return config.growth.rule
    about_scores = (config.growth.max_stages, config.growth.stop_probe) != (None, None)
    return "relative_rise" if about_scores or config.importance.method != "perturbation" else "elastic"


def choose(preset: str, **presets: Callable) -> Callable:
    """The preset of that name out of a config file's presets, functions that change a config.

    Raises:
      UnknownPreset: there is none of that name.
    """
    if preset not in presets:
        raise UnknownPreset(preset, tuple(presets))
    return presets[preset]


def unknown_key(path: str) -> str | None:
    """What to say about the key `path` (`model.depth`), or None if it exists."""
    known = list(flatten(default()))
    if path in (*known, *MOVED) or any(key.startswith(path + ".") for key in known):
        return None
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.5)
    return f"unknown config key {path!r}" + (f": did you mean {close[0]!r}?" if close else "")


def flatten(config, prefix: str = "") -> dict:
    """{'model.depths': (2, 2, 2), ...} of a config or of its JSON."""
    flat = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def differences(old: dict, new: dict) -> list[str]:
    """What differs between two configs' plain dicts, a text for each key, without the keys in MAY_CHANGE.

    A key that a config is too old to have counts as its default, which is what the program did before there was one.
    """
    usual = flatten(plain(default()))
    old, new = usual | flatten(renewed(old)), usual | flatten(new)
    return [
        f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
        for key in sorted(old.keys() | new.keys())
        if key not in MAY_CHANGE and old.get(key) != new.get(key)
    ]


def plain(config: config_dict.ConfigDict) -> dict[str, Any]:
    """The config as JSON has it: tuples become lists."""

    def of(value):
        if isinstance(value, config_dict.ConfigDict):
            return plain(value)
        return list(value) if isinstance(value, tuple) else value

    return {key: of(value) for key, value in config.items()}


def validate(config: Config) -> None:
    """Raises UserError, naming key and value, for the first value that cannot work."""
    flat = flatten(config)
    if wrong := flatten(default()).keys() ^ flat.keys():
        some = ", ".join(sorted(wrong)[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise UserError(f"config keys missing or unknown: {some}; start from jaxstage.config.default()")

    def check(ok: bool, key: str, remedy: str):
        if not ok:
            raise UserError(f"config.{key}={flat[key]!r}: {remedy}")

    for key, allowed in CHOICES.items():
        own = key in OWN and plugins.is_own(flat[key])
        others = ", or your own as MODULE:FUNCTION" if key in OWN else ""
        check(flat[key] in allowed or own, key, f"choose one of {', '.join(allowed)}{others}")
    for key in (
        "batch_size",
        "candidate.epochs",
        "final.epochs",
        "growth.step",
        "growth.max_rounds",
        "checkpoint.keep",
        "log_every_steps",
        "data.copies",
        "evaluate.latency_runs",
        "growth.latency_batch",
        "model.expansion",
        "model.kernel",
        "model.stem_width",
        "model.head_width",
    ):
        check(flat[key] >= 1, key, "must be at least 1")
    for key in (
        "data.examples",
        "importance.examples",
        "growth.max_stages",
        "growth.max_parameters",
        "growth.max_macs",
        "devices",
        "checkpoint.every_steps",
        "data.image_size",
        "steps_per_dispatch",
    ):
        check(flat[key] is None or flat[key] >= 1, key, "must be at least 1 (or None)")
    for key in (
        "optimizer.learning_rate",
        "importance.sigma",
        "model.bn_epsilon",
        "inherit.gauss_scale",
        "energy.kg_per_kwh",
        "transfer.rate",
    ):
        check(flat[key] > 0, key, "must be greater than 0")
    for key in (
        "seed",
        "optimizer.weight_decay",
        "optimizer.time_decay",
        "growth.margin",
        "growth.least_gain",
        "candidate.warmup_epochs",
        "final.warmup_epochs",
        "data.crop_padding",
    ):
        check(flat[key] >= 0, key, "must not be negative")
    for key in ("source", "data.dir", "growth.latency_table", "compilation_cache"):
        if flat[key]:
            local(flat[key], f"config.{key}")
    check(0 < config.data.validation < 1, "data.validation", "must lie between 0 and 1")
    check((config.data.workers or 0) >= 0, "data.workers", "must not be negative (or None)")
    check(0 <= config.data.max_broken <= 1, "data.max_broken", "must lie between 0 and 1")
    scale = config.data.crop_scale
    ordered = len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1
    check(not scale or ordered, "data.crop_scale", "give the smallest and the largest share, like (0.08, 1.0), or ()")
    for key in ("optimizer.momentum", "optimizer.label_smoothing", "model.bn_momentum"):
        check(0 <= flat[key] < 1, key, "must be at least 0 and below 1")
    check((flat["energy.device_watts"] or 1) > 0, "energy.device_watts", "must be greater than 0 (or None)")
    longest = config.growth.max_latency_ms
    check(longest is None or longest > 0, "growth.max_latency_ms", "must be greater than 0 (or None)")
    shares = flat["importance.shares"]
    check(shares >= 2, "importance.shares", "must be at least 2, to know the scores' error")
    enough = (flat["importance.examples"] or shares) >= shares
    check(enough, "importance.examples", f"must be at least importance.shares={shares}")
    stop = config.growth.stop_probe
    check((stop or 0) >= 0, "growth.stop_probe", "must not be negative (or None)")
    probes = stop is None or config.growth.rule != "lowest_score"
    check(probes, "growth.stop_probe", "growth.rule=lowest_score trains no probes: leave it out")
    knows_error = config.importance.method in WITH_ERROR
    check(
        stop is None or knows_error,
        "growth.stop_probe",
        f"importance.method={config.importance.method} gives no error to compare with; only {', '.join(WITH_ERROR)} do",
    )
    for stage in ("candidate", "final"):
        check(
            (flat[f"{stage}.schedule"] == "step") == bool(flat[f"{stage}.drop_epochs"]),
            f"{stage}.drop_epochs",
            "give the epochs of the drops with schedule step, and only with it",
        )
        check(
            flat[f"{stage}.warmup_epochs"] < flat[f"{stage}.epochs"],
            f"{stage}.warmup_epochs",
            f"must be less than {stage}.epochs={flat[f'{stage}.epochs']}",
        )
    evaluates = config.task == "evaluate"
    if config.source is None:
        can_start_afresh = config.task in ("search", "train")
        check(can_start_afresh, "source", f"give a work directory: task {config.task} starts from one")
    else:
        grows_head = config.task == "search" and config.transfer.mode == "head"
        check(not grows_head, "transfer.mode", "a search grows more than the head: use finetune or scratch")
    check(config.data.name or evaluates, "data.name", "name a data set")
    if config.growth.rule == "elastic":
        own = "growth.rule=elastic measures importance by switching blocks off"
        check(config.importance.method == "perturbation", "importance.method", f"{own}: leave it out")
        check(
            config.growth.max_stages is None,
            "growth.max_stages",
            "growth.rule=elastic chooses whole tuples: leave it out",
        )
        check(stop is None, "growth.stop_probe", "growth.rule=elastic trains no probes: leave it out")
        cells = config.model.family != "nasnet" or min(config.model.depths, default=2) >= 2
        check(
            cells, "model.depths", "growth.rule=elastic switches off cells from the third of a stage on: start from 2"
        )
    native, family = config.convolutions == "native", config.model.family
    check(not native or config.model.dtype == "float32", "convolutions", "it computes in model.dtype=float32 only")
    has_native = family in WITH_NATIVE or plugins.is_own(family)
    only = f"only model.family={' and '.join(WITH_NATIVE)} has it; leave it out"
    check(not native or has_native, "convolutions", only)
    _check_stages(config.model, config.growth.max_depth)
    _check_family(config.model)


def _check_family(model) -> None:
    if plugins.is_own(model.family):
        return
    for key in {key: None for keys in FAMILIES.values() for key in keys}:
        having = [family for family, keys in FAMILIES.items() if key in keys]
        if model.family not in having and model[key] != default().model[key]:
            only = " and ".join(having)
            raise UserError(f"config.model.{key}={model[key]!r}: only model.family={only} has it; leave it out")
    first = 8 if model.stem == "imagenet" else 2
    if model.family == "nasnet" and (min(model.widths) < 2 or model.widths[0] < first):
        raise UserError(
            f"config.model.widths={model.widths}: cells need at least 2 filters, {first} in the first stage"
        )


def _check_stages(model, max_depth) -> None:
    counts = lambda value: all(type(n) is int and n >= 1 for n in value)
    for key in ("depths", "widths"):
        if not model[key] or not counts(model[key]):
            raise UserError(f"config.model.{key}={model[key]}: every stage needs a whole number of at least 1")
    if len(model.depths) != len(model.widths):
        raise UserError(
            f"config.model.depths={model.depths} has {len(model.depths)} stages but config.model.widths="
            f"{model.widths} has {len(model.widths)}: give both the same length"
        )
    stages = len(model.depths)
    if len(max_depth) not in (0, 1, stages) or not counts(max_depth):
        raise UserError(
            f"config.growth.max_depth={max_depth}: give a whole number of at least 1 for each of the {stages} stages, "
            "or one for all, like (8,)"
        )
    if any(depth > limit for depth, limit in zip(model.depths, max_depth * (stages if len(max_depth) == 1 else 1))):
        raise UserError(f"config.model.depths={model.depths}: deeper than config.growth.max_depth={max_depth}")
