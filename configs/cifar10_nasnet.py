"""Searches a network of NASNet-A cells for CIFAR-10.

    jaxstage search --config=cifar10_nasnet:smoke     # 2 CPU cores, minutes
    jaxstage search --config=cifar10_nasnet:fast      # one GPU, minutes
    jaxstage search --config=cifar10_nasnet           # full: an accelerator, the real thing

Needs: CIFAR-10 as a TFDS set in ~/tensorflow_datasets (or --config.data.dir=DIR); where it is missing the program says
how to prepare it.
Expect: smoke trains on 1,440 images at a quarter of the width and reaches about 43 % test accuracy on a JPEG copy of
CIFAR-10 in 7 minutes. fast and full have not been measured yet.

A stage's depth counts its normal cells. A new cell starts as a copy of the last of its stage: cells concatenate, so
there is no scale that would make one the identity.
"""

from jaxstage.config import choose, default


def get_config(preset="full"):
    config = default()
    config.data.name = "cifar10"
    config.model.family = "nasnet"
    config.optimizer.learning_rate = 0.025
    config.optimizer.label_smoothing = 0.1
    config.growth.step = 1
    config.inherit.method = "copy"
    choose(preset, full=full, fast=fast, smoke=smoke)(config)
    return config


def full(config):
    config.model.depths = (2, 2, 2)
    config.model.widths = (32, 64, 128)
    config.model.dtype = "bfloat16"
    config.candidate.epochs = 20
    config.importance.examples = 1024
    config.final.epochs = 200


def fast(config):
    full(config)
    config.model.widths = (16, 32, 64)
    config.batch_size = 256
    config.optimizer.learning_rate = 0.05
    config.candidate.epochs = 5
    config.growth.max_rounds = 3
    config.final.epochs = 30


def smoke(config):
    config.data.examples = 1_600
    config.batch_size = 64
    config.model.depths = (1, 1, 1)
    config.model.widths = (8, 16, 32)
    config.candidate.epochs = 2
    config.growth.max_rounds = 2
    config.final.epochs = 5
    config.importance.examples = 256
