"""Searches a network of inverted-residual blocks for CIFAR-10.

    jaxstage search --config=cifar10_mobilenet:smoke     # 2 CPU cores, minutes
    jaxstage search --config=cifar10_mobilenet:fast      # one GPU, minutes
    jaxstage search --config=cifar10_mobilenet           # full: an accelerator, the real thing

Needs: CIFAR-10 as a TFDS set in ~/tensorflow_datasets (or --config.data.dir=DIR); where it is missing the program says
how to prepare it.
Expect: smoke trains on 2,880 images at a quarter of the width, ends at depths (2, 1, 2) and reaches about 53 % test
accuracy on a JPEG copy of CIFAR-10 (lossy, so no figure to compare with published ones), in 1 min 23 s on two quiet
cores. fast and full have not been measured yet.

full has the widths, the batch and the final training of NAS-Bench-Macro (arXiv 2103.11922), a table of all networks of
at most 2, 3 and 3 blocks: --config.growth.max_depth="(2,3,3)" stays inside it, and studies/macro.py compares elastic
networks with it.
"""

from jaxstage.config import choose, default


def get_config(preset="full"):
    config = default()
    config.data.name = "cifar10"
    config.model.family = "mobilenet"
    config.model.depths = (1, 1, 1)
    config.growth.rule = "auto"
    choose(preset, full=full, fast=fast, smoke=smoke)(config)
    return config


def full(config):
    config.batch_size = 256
    config.model.widths = (64, 128, 256)
    config.model.dtype = "bfloat16"
    config.candidate.epochs = 20
    config.importance.examples = 2048
    config.final.epochs = 50
    config.final.warmup_epochs = 1.0


def fast(config):
    full(config)
    config.model.widths = (32, 64, 128)
    config.model.head_width = 640
    config.candidate.epochs = 5
    config.growth.max_rounds = 3
    config.final.epochs = 20


def smoke(config):
    config.data.examples = 3_200
    config.batch_size = 64
    config.model.widths = (16, 32, 64)
    config.model.stem_width = 8
    config.model.head_width = 320
    config.candidate.epochs = 6
    config.growth.max_rounds = 1
    config.importance.examples = 256
    config.final.epochs = 8
