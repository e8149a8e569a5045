"""Searches a network for Tiny ImageNet: 200 classes, 64x64 pixels.

    jaxstage search --config=tiny_imagenet:smoke     # 2 CPU cores, minutes
    jaxstage search --config=tiny_imagenet           # full: for an accelerator
    jaxstage train --config=tiny_imagenet --config.model.depths="(4,4,4)"
    jaxstage transfer WORKDIR --config=tiny_imagenet

Needs: Tiny ImageNet as a TFDS set in ~/tensorflow_datasets (or --config.data.dir=DIR); from its zip file unpacked to
train/CLASS/*.JPEG, jaxstage prepare makes one.
Expect: smoke trains on 7,200 images at half the width: 2 minutes on 2 cores, about 10 % test accuracy. full has not
been measured yet.

The images stay on the devices (1.2 GB). The stem has stride 2, so the stages see the resolutions that they have on
32x32 images. The labels of the test split are not public: the test is the validation split, once, at the end.
"""

from jaxstage.config import choose, default


def get_config(preset="full"):
    config = default()
    config.data.name = "tiny_imagenet"
    config.data.crop_padding = 8
    config.model.stem = "auto"
    config.optimizer.label_smoothing = 0.1
    config.growth.rule = "auto"
    choose(preset, full=full, smoke=smoke)(config)
    return config


def full(config):
    config.batch_size = 256
    config.model.depths = (2, 2, 2)
    config.model.widths = (32, 64, 128)
    config.model.dtype = "bfloat16"
    config.candidate.epochs = 15
    config.importance.examples = 2048
    config.final.epochs = 100
    config.final.warmup_epochs = 2.0


def smoke(config):
    config.data.examples = 8_000
    config.batch_size = 64
    config.model.depths = (1, 1, 1)
    config.model.widths = (8, 16, 32)
    config.convolutions = "native"
    config.candidate.epochs = 4
    config.growth.max_rounds = 1
    config.final.epochs = 6
