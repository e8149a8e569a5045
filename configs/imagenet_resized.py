"""Searches a network for downsampled ImageNet: 1,000 classes, 1.28 million images of 16, 32 or 64 pixels a side.

    jaxstage search --config=imagenet_resized:16
    jaxstage search --config=imagenet_resized:32
    jaxstage search --config=imagenet_resized:64
    jaxstage train --config=imagenet_resized:32 --config.model.depths="(4,4,4)"
    jaxstage transfer WORKDIR --config=imagenet_resized:32

Needs: imagenet_resized/16x16 (32x32, 64x64) as a TFDS set, jaxstage prepare imagenet_resized/16x16
makes one; an accelerator, and for 64x64 fast disks.
Expect: no preset has been measured yet. 16x16 and 32x32 stay on the devices (1 and 4 GB), 64x64 is streamed.
"""

from jaxstage.config import choose, default


def get_config(preset="32"):
    config = default()
    config.batch_size = 512
    config.data.validation = 0.02  # 25,600 images
    config.model.depths = (2, 2, 2)
    config.model.widths = (64, 128, 256)
    config.model.stem = "auto"
    config.model.dtype = "bfloat16"
    config.optimizer.learning_rate = 0.2
    config.optimizer.weight_decay = 1e-4
    config.optimizer.label_smoothing = 0.1
    config.growth.rule = "auto"
    config.candidate.epochs = 5
    config.importance.examples = 4096
    config.final.epochs = 40
    config.final.warmup_epochs = 2.0
    choose(preset, **{"16": pixels_16, "32": pixels_32, "64": pixels_64})(config)
    return config


def pixels_16(config):
    config.data.name = "imagenet_resized/16x16"
    config.data.crop_padding = 2


def pixels_32(config):
    config.data.name = "imagenet_resized/32x32"
    config.data.crop_padding = 4


def pixels_64(config):
    config.data.name = "imagenet_resized/64x64"
    config.data.crop_padding = 8
