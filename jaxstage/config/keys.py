"""The table of config keys: all that is known of each of them.

The default config, the checks of `validate`, docs/config.md and --help are made from it, so a new key is a new entry; key.py
has the table's columns.
"""

import difflib

from jaxstage.config.key import (
    ABOVE_0,
    AT_LEAST_1,
    BELOW_1,
    EVERY_STAGE,
    MOST_BLOCKS,
    MOST_WIDTH,
    NOT_NEGATIVE,
    PROPER_SHARE,
    SHARE,
    Check,
    Key,
)
from jaxstage.config.moved import MOVED
from jaxstage.config.training_keys import TRAINING

AUTO = "auto"  # what suits the rest of the config or the data
IMPORTANCES = ("perturbation", "pls_vip", "ablation", "uniform", "random")
RULES = ("elastic", "relative_rise", "absolute_rise", "lowest_score")


MIXING = Check(lambda value: 0 <= value <= 100, "must lie between 0 and 100")

SECTIONS = {  # what there is to say of one as a whole
    "optimizer": "SGD.",
    "candidate": "The training of each candidate of the search.",
    "final": "That of the network that is found.",
    "transfer": "What a source's weights are used for, see jaxstage/depth_search/transfer.py.",
}

KEYS: dict[str, Key] = {
    "task": Key(
        "search",
        "search: find depths, then train them | train: model.depths as they are | transfer | evaluate",
        choices=("search", "train", "transfer", "evaluate"),
    ),
    "source": Key(
        None,
        "A finished run. evaluate looks at its network, transfer trains it on other data, search grows it further "
        "there; `model` is then the source's, except for stem and dtype.",
        optional=str,
        check=Check(bool, "is empty: give a work directory"),
        path=True,
    ),
    "trust_source": Key(
        False,
        "whether to import code that the source names, MODULE:FUNCTION, and this config does not",
        may_change=True,
    ),
    "seed": Key(0, "of everything random", check=NOT_NEGATIVE, most=2**32 - 1),
    "batch_size": Key(
        None,
        "Images a step, over all devices. None: 128; of fewer than 6,400 training images fewer, with their square root.",
        optional=int,
        check=AT_LEAST_1,
    ),
    "data.name": Key("digits", "digits, any TFDS image-classification set, or your own as MODULE:FUNCTION"),
    "data.folder": Key(
        None,
        "pictures of your own, CLASS/PICTURE or train/CLASS/PICTURE and test/CLASS/PICTURE: prepared once, in data.dir, and "
        "read in place of data.name",
        optional=str,
        check=Check(bool, "is empty: give a folder"),
        path=True,
        may_change=True,
    ),
    "data.dir": Key(
        None,
        "where TFDS sets lie; None: TFDS_DATA_DIR or ~/tensorflow_datasets",
        optional=str,
        path=True,
        may_change=True,
    ),
    "data.validation": Key(
        0.1, "share of the training data that is held out for validation, stratified", check=PROPER_SHARE
    ),
    "data.examples": Key(
        None, "use only so many of the training split, stratified; None: all", optional=int, check=AT_LEAST_1
    ),
    "data.input": Key(
        AUTO,
        "resident: on the devices | streaming: from disk | auto: resident up to 8 GiB of one size",
        choices=(AUTO, "resident", "streaming"),
    ),
    "data.image_size": Key(
        None,
        "pixels a side that the network takes, or (height, width); None: the set's own",
        optional=int,
        check=AT_LEAST_1,
        most=4096,
        height_width=True,
    ),
    "data.fit": Key(
        None,
        "streaming: how an image gets the ratio of image_size: crop: the centre, 87.5 % of the shorter side | pad: all of "
        "it, on black | stretch: all of it, its ratio lost; None: crop, in task evaluate as the network was trained",
        optional=str,
        choices=("crop", "pad", "stretch"),
    ),
    "data.crop_scale": Key(
        (),
        "streaming: share of the area that a random crop takes, (0.08, 1.0); (): the centre",
        check=Check(
            lambda value: len(value) == 0 or len(value) == 2 and 0 < value[0] <= value[1] <= 1,
            "give the smallest and the largest share, like (0.08, 1.0), or ()",
        ),
        items=float,
    ),
    "data.decoder": Key(
        "pillow", "streaming: pillow | opencv, for which install jaxstage[opencv]", choices=("pillow", "opencv")
    ),
    "data.workers": Key(
        None,
        "streaming: processes that decode; None: one less than there are cores; 0: threads",
        optional=int,
        check=NOT_NEGATIVE,
        most=1024,
        may_change=True,
    ),
    "data.max_broken": Key(
        0.001,
        "streaming: share of a split's images that may be unreadable, one in any case",
        check=SHARE,
        may_change=True,
    ),
    "data.normalize": Key(
        "channel", "channel: mean and deviation a channel | pixel: mean image only", choices=("channel", "pixel")
    ),
    "data.crop_padding": Key(4, "pad and crop at random; 0: no cropping", check=NOT_NEGATIVE, most=1024),
    "data.flip": Key(True, "mirror at random"),
    "data.copies": Key(1, "how often an epoch shows each image, each time augmented anew", check=AT_LEAST_1, most=1000),
    "data.erasing": Key(0.0, "probability of an image to lose a random rectangle (random erasing)", check=SHARE),
    "data.mixup": Key(
        0.0,
        "images are blended in pairs, by shares from Beta(this, this), 0.2 for example; 0: they are not",
        check=MIXING,
    ),
    "data.cutmix": Key(
        0.0,
        "likewise, a rectangle of the one is put into the other, 1.0 for example; with mixup, each image by one of them",
        check=MIXING,
    ),
    "data.balanced": Key(
        False,
        "whether the training loss weighs all classes alike, however many images each has; labels are read before",
    ),
    "model.family": Key(
        "resnet",
        "resnet | nasnet: NASNet-A cells | mobilenet: inverted-residual blocks | your own as MODULE:FUNCTION",
        choices=("resnet", "nasnet", "mobilenet"),
        own=True,
    ),
    "model.depths": Key((2, 2, 2), "where the search starts: blocks a stage", check=EVERY_STAGE, most=MOST_BLOCKS),
    "model.widths": Key((16, 32, 64), "filters of each stage", check=EVERY_STAGE, most=MOST_WIDTH),
    "model.stem": Key(
        "cifar",
        "cifar | cifar_stride2 | imagenet | auto: by the resolution, see jaxstage/models/stem.py",
        choices=("cifar", "cifar_stride2", "imagenet", AUTO),
    ),
    "model.dtype": Key("float32", "of the computation; parameters are always float32", choices=("float32", "bfloat16")),
    "model.bn_epsilon": Key(1e-5, "added to BatchNorm's variance", check=ABOVE_0),
    "model.bn_momentum": Key(0.9, "share of the old value in BatchNorm's running averages", check=BELOW_1),
    "model.block": Key(
        "basic",
        "resnet: basic | bottleneck, which puts out four times its width",
        choices=("basic", "bottleneck"),
        families=("resnet",),
    ),
    "model.conv_bias": Key(False, "resnet: whether convolutions have a bias", families=("resnet",)),
    "model.shortcut_norm": Key(
        True, "resnet: whether BatchNorm follows the convolution of a shortcut", families=("resnet",)
    ),
    "model.padding": Key(
        "same",
        "resnet, mobilenet: same: TensorFlow's | torch: half a window on each side, as PyTorch's networks have it",
        choices=("same", "torch"),
        families=("resnet", "mobilenet"),
    ),
    "model.expansion": Key(
        3,
        "mobilenet: channels inside a block for each of its input; 0: as many, without a convolution that makes them. "
        "One number, or a tuple with one for each stage, and so for the next two.",
        check=NOT_NEGATIVE,
        most=256,
        families=("mobilenet",),
        each_stage=True,
    ),
    "model.kernel": Key(
        3,
        "mobilenet: pixels a side of the depthwise convolutions",
        check=AT_LEAST_1,
        most=31,
        families=("mobilenet",),
        each_stage=True,
    ),
    "model.strides": Key(
        2,
        "mobilenet: of the first block of a stage",
        check=Check(lambda value: value in (1, 2), "must be 1 or 2"),
        families=("mobilenet",),
        each_stage=True,
    ),
    "model.activation": Key("relu", "mobilenet: relu | relu6", choices=("relu", "relu6"), families=("mobilenet",)),
    "model.stem_width": Key(
        32, "mobilenet; the others' stems have widths[0]", check=AT_LEAST_1, most=MOST_WIDTH, families=("mobilenet",)
    ),
    "model.head_width": Key(
        1280, "mobilenet: channels after the last stage", check=AT_LEAST_1, most=MOST_WIDTH, families=("mobilenet",)
    ),
    **TRAINING,
    "importance.method": Key(
        "perturbation",
        "perturbation | pls_vip: the paper's | ablation | uniform, random: controls | your own as MODULE:FUNCTION",
        choices=IMPORTANCES,
        own=True,
    ),
    "importance.examples": Key(
        512,
        "calibration images, from the training data; None: all of it, as of a set that has fewer",
        optional=int,
        check=AT_LEAST_1,
    ),
    "importance.sigma": Key(0.05, "size of the perturbation relative to each filter's norm", check=ABOVE_0),
    "importance.shares": Key(
        8,
        "parts of these images that are scored apart: the spread over them is the scores' error",
        check=Check(lambda value: value >= 2, "must be at least 2, to know the scores' error"),
        most=10_000,
    ),
    "growth.step": Key(2, "blocks added to a stage at once", check=AT_LEAST_1, most=100),
    "growth.rule": Key(
        "relative_rise",
        "auto: elastic, or relative_rise where importance.method, max_stages or stop_probe ask for scores | "
        "elastic: an elastic network, whose blocks beyond model.depths can be switched off, is read in all its states "
        "| the others compare scores of importance. What counts: relative_rise, absolute_rise: the rise of a stage's "
        "score from the candidate to the probe | lowest_score: how far the stage's score in the candidate falls short "
        "of the stages' mean; without any probe. | your own as MODULE:NAME",
        choices=(AUTO, *RULES),
        own=True,
    ),
    "growth.margin": Key(1.0, "it counts if it is above so many of its standard errors", check=NOT_NEGATIVE),
    "growth.least_gain": Key(
        0.02, "elastic, without a budget: nats that twice the MACs (or the latency) must gain", check=NOT_NEGATIVE
    ),
    "growth.within": Key(
        None,
        "elastic: the cheapest depths whose fitted loss is within so many standard errors of the lowest. None: the lowest "
        "within a budget; without one along the frontier while it pays, by margin and least_gain.",
        optional=float,
        check=NOT_NEGATIVE,
    ),
    "growth.stop_probe": Key(
        None,
        "A probe's training ends, from halfway, at the first epoch after which the evidence for every stage is more "
        "than so many standard errors away from the margin. None: it is never cut short.",
        optional=float,
        check=NOT_NEGATIVE,
    ),
    "growth.max_stages": Key(
        None, "stages grown in a round, best first; None: all for which it counts", optional=int, check=AT_LEAST_1
    ),
    "growth.max_rounds": Key(5, "comparisons of a candidate with its probe", check=AT_LEAST_1, most=100),
    "growth.min_depth": Key(
        (),
        "elastic: the fewest blocks of a stage, one number for each, or (n,) for all. The first elastic network then goes "
        "from these to model.depths, and a network may also become shallower; (): model.depths, from which it goes up.",
    ),
    "growth.max_depth": Key((), "blocks in a stage: one number for each, or (n,) for all; (): any number"),
    "growth.max_parameters": Key(None, "of the network that is found", optional=int, check=AT_LEAST_1, most=10**18),
    "growth.max_macs": Key(None, "likewise, for one image", optional=int, check=AT_LEAST_1, most=10**18),
    "growth.max_latency_ms": Key(
        None,
        "Likewise, milliseconds for a batch, of the network as it is handed over. Measured once on this machine, as "
        "`jaxstage latency` does, and kept in WORKDIR/latency.json; or for another device, with latency_table.",
        optional=float,
        check=ABOVE_0,
    ),
    "growth.latency_table": Key(
        None,
        "file that `jaxstage latency` wrote, on the device that counts; None: this machine",
        optional=str,
        path=True,
    ),
    "growth.latency_batch": Key(1, "images of such a batch", check=AT_LEAST_1, most=2**16),
    "inherit.method": Key(
        "identity",
        "Of new blocks. identity: the deeper network computes the same | gauss | copy: of the stage's last block | "
        "scratch: nothing is inherited",
        choices=("identity", "gauss", "copy", "scratch"),
    ),
    "inherit.gauss_scale": Key(0.1, "deviation of the new blocks' last BatchNorm scales under gauss", check=ABOVE_0),
    "transfer.mode": Key(
        "finetune",
        "finetune | head: the rest is frozen | scratch: the architecture alone",
        choices=("finetune", "head", "scratch"),
    ),
    "transfer.rate": Key(
        0.1, "finetune: the learning rate of what is inherited, as a part of the new head's", check=ABOVE_0
    ),
    "transfer.layer_decay": Key(
        1.0,
        "finetune: factor of that rate from each stage to the one before it, and to the stem",
        check=Check(lambda value: 0 < value <= 1, "must be greater than 0 and at most 1"),
    ),
    "transfer.head_epochs": Key(
        0.0, "finetune: first epochs, in which only what is new is trained", check=NOT_NEGATIVE
    ),
    "transfer.frozen_statistics": Key(
        False, "finetune: whether inherited BatchNorms stay as in evaluation, with the statistics of the source's data"
    ),
    "evaluate.split": Key("test", "test: what a search keeps for its end; or a split by its name in the data set"),
    "evaluate.latency_runs": Key(30, "the latency is the median of so many", check=AT_LEAST_1, most=100_000),
    "energy.device_watts": Key(
        None, "None: read from the GPU's driver, else a typical value", optional=float, check=ABOVE_0, may_change=True
    ),
    "energy.kg_per_kwh": Key(
        0.475, "CO2 equivalent of the grid; this is the world's mean (IEA, 2019)", check=ABOVE_0, may_change=True
    ),
    "report.pictures": Key(
        True,
        "whether report.html shows a dozen misclassified test pictures; False where they are private",
        may_change=True,
    ),
    "parallel": Key("jit", "jit over a device mesh | pmap", choices=("jit", "pmap")),
    "devices": Key(None, "how many to use; None: all", optional=int, check=AT_LEAST_1),
    "convolutions": Key(
        "xla",
        "resnet, mobilenet: xla | native: our own kernels for CPUs, compiled by this machine's C++ compiler when they "
        "are first used; float32 on one device. Residual networks train about 1.8 times as fast.",
        choices=("xla", "native"),
        families=("resnet", "mobilenet"),
    ),
    "checkpoint.every_steps": Key(None, "None: once an epoch", optional=int, check=AT_LEAST_1, may_change=True),
    "checkpoint.keep": Key(
        2,
        "of each candidate; an older one is the way back when the newest is damaged",
        check=AT_LEAST_1,
        may_change=True,
    ),
    "steps_per_dispatch": Key(
        None,
        "done by the devices without the host; None: 1 on CPUs, else up to 32",
        optional=int,
        check=AT_LEAST_1,
        most=10_000,
    ),
    "log_every_steps": Key(
        10, "means over so many steps go to metrics.jsonl and TensorBoard", check=AT_LEAST_1, may_change=True
    ),
    "profile": Key(
        False,
        "trace a few steps of every training run into WORKDIR/profile/, for TensorBoard or Perfetto",
        may_change=True,
    ),
    "compilation_cache": Key(
        "~/.cache/jaxstage", 'compiled programs are kept here between runs; "": nowhere', path=True, may_change=True
    ),
}

MAY_CHANGE = tuple(name for name, key in KEYS.items() if key.may_change)

# Each family with the keys of `model` that not every family has.
FAMILIES = {
    family: tuple(
        name.removeprefix("model.") for name, key in KEYS.items() if family in key.families and name[:6] == "model."
    )
    for family in KEYS["model.family"].choices
}


def unknown_key(path: str) -> str | None:
    """What to say about the key `path` (`model.depth`), or None if it exists."""
    if path in (*KEYS, *MOVED) or any(name.startswith(path + ".") for name in KEYS):
        return None
    close = difflib.get_close_matches(path, KEYS, n=1, cutoff=0.5)
    return f"unknown config key {path!r}" + (f": did you mean {close[0]!r}?" if close else "")
