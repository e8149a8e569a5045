"""Searches a network for CIFAR-10, the data set on which the method was published.

    jaxstage search --config=cifar10:smoke     # 2 CPU cores, under 8 minutes
    jaxstage search --config=cifar10:fast      # one GPU
    jaxstage search --config=cifar10           # full: the real thing, for an accelerator

Needs: CIFAR-10 as a TFDS set in ~/tensorflow_datasets (or --config.data.dir=DIR); where it is missing the program says
how to prepare it.
Expect: smoke trains on 7,200 images at half the width; it ends at depths (2, 3, 2) and reaches 72.5 % test accuracy on
a JPEG copy of CIFAR-10 in one run (lossy, so no figure to compare with published ones). It needs a C++ compiler;
without one add --config.convolutions=xla, which takes longer. fast and full have not been measured yet.
"""

from jaxstage.config import choose, default


def get_config(preset="full"):
    config = default()
    config.data.name = "cifar10"
    config.optimizer.label_smoothing = 0.1
    # docs/RESULTS.md: what stages gain correlates with readings of elastic networks by
    # 0.92, with scores by noise by 0.51, and whole tuples chosen by readings are near the best in every published
    # table, where each fixed rule fails in some.
    config.growth.rule = "auto"
    # Table "Inheritance and epochs a candidate": at one cost in all, growth and last training, the most epochs a
    # candidate that were tried are the best; identity at a constant rate is better than scratch and than one long
    # training, and ties with gauss, copy and annealed rates.
    config.inherit.method, config.candidate.schedule = "identity", "constant"
    choose(preset, full=full, fast=fast, smoke=smoke)(config)
    return config


def full(config):
    config.model.depths = (2, 2, 2)
    config.model.dtype = "bfloat16"
    config.candidate.epochs = 40
    config.growth.max_rounds = 5
    config.importance.examples = 1024  # the scores of a candidate take as long as 19 training steps
    config.final.epochs = 200


def fast(config):
    full(config)
    config.batch_size = 512
    config.optimizer.learning_rate = 0.4
    config.candidate.epochs = 16
    config.candidate.warmup_epochs = 1.0
    config.final.epochs = 60
    config.final.warmup_epochs = 2.0


def smoke(config):
    config.data.examples = 8_000
    config.batch_size = 64
    config.model.depths = (1, 1, 1)
    config.model.widths = (8, 16, 32)
    config.convolutions = "native"
    config.candidate.epochs = 6
    config.growth.max_rounds = 1
    config.final.epochs = 28
