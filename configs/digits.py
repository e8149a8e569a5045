"""Searches a network for scikit-learn's 1,797 handwritten digits (8x8 pixels), which come with the installation.

    python -m jaxstage.main --config=configs/digits.py

Needs no download and no accelerator.
"""
from jaxstage.config import default


def get_config():
    config = default()
    config.data.name = "digits"
    config.data.flip = False  # a mirrored digit is another sign
    config.data.crop_padding = 0
    config.batch_size = 64
    config.model.depths = (1, 1, 1)
    config.model.widths = (8, 16, 32)
    config.growth.step = 1
    config.growth.max_rounds = 3
    config.candidate.epochs = 6
    config.final.epochs = 30
    return config
