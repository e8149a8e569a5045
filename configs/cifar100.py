"""Searches a network for CIFAR-100: as cifar10, with the same presets, and 100 classes.

    jaxstage search --config=cifar100:smoke     # 2 CPU cores, minutes
    jaxstage search --config=cifar100:fast      # one GPU
    jaxstage search --config=cifar100           # full: the real thing, for an accelerator

Needs: CIFAR-100 as a TFDS set in ~/tensorflow_datasets (or --config.data.dir=DIR); where it is missing the program says
how to prepare it.
Expect: no preset has been measured yet.
"""

import pathlib
import runpy


def get_config(preset="full"):
    config = runpy.run_path(str(pathlib.Path(__file__).with_name("cifar10.py")))["get_config"](preset)
    config.data.name = "cifar100"
    return config
