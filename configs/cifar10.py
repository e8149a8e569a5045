"""Searches a network for CIFAR-10, the data set that the method was published on.

    python -m jaxstage.main --config=configs/cifar10.py:smoke     # 2 CPU cores, minutes
    python -m jaxstage.main --config=configs/cifar10.py:fast      # one GPU, minutes
    python -m jaxstage.main --config=configs/cifar10.py           # full: an accelerator, the real thing

Needs CIFAR-10 as a TFDS set in ~/tensorflow_datasets (or --config.data.dir); the program says how to prepare it.
"""
from jaxstage.config import default


def get_config(preset="full"):
    config = default()
    config.data.name = "cifar10"
    config.optimizer.label_smoothing = 0.1
    if preset == "smoke":
        config.data.examples = 8_000
        config.batch_size = 64
        config.model.depths = (1, 1, 1)
        config.model.widths = (8, 16, 32)
        config.growth.step = 1
        config.growth.max_rounds = 3
        config.candidate.epochs = 3
        config.final.epochs = 12
        config.importance.examples = 512
        config.importance.pairs = 4
    return config
