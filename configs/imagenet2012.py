"""Searches a four-stage network for ImageNet (ILSVRC 2012) at 224x224 pixels.

    jaxstage search --config=imagenet2012:basic
    jaxstage search --config=imagenet2012:bottleneck
    jaxstage train --config=imagenet2012:bottleneck --config.model.depths="(3,4,6,3)"
    jaxstage transfer WORKDIR --config=imagenet2012

Needs: imagenet2012 as a TFDS set, or a folder of train/CLASS/*.JPEG and validation/CLASS/*.JPEG;
`jaxstage prepare` makes array_record of both. Several accelerators; launch/ has scripts for TPU VMs and SLURM.
Expect: no preset has been measured yet. The last two commands train ResNet-50, and the network of a search on smaller
images with its stages' weights and a new stem.

Images are streamed: random-resized crops and mirrors for training, the centre of the image for evaluation. The test is
ImageNet's validation split, once, at the end; the search's own validation images come from the training split.
"""

from jaxstage.config import choose, default


def get_config(preset="basic"):
    config = default()
    config.data.update(
        name="imagenet2012", input="streaming", image_size=224, crop_scale=(0.08, 1.0), crop_padding=0, validation=0.01
    )
    config.batch_size = 1024
    config.model.widths = (64, 128, 256, 512)
    config.model.stem = "imagenet"
    config.model.dtype = "bfloat16"
    config.optimizer.learning_rate = 0.4
    config.optimizer.weight_decay = 1e-4
    config.optimizer.label_smoothing = 0.1
    config.candidate.update(epochs=5, warmup_epochs=1.0)
    config.importance.examples = 2048
    config.growth.rule = "auto"
    config.growth.max_rounds = 3
    config.final.update(epochs=90, warmup_epochs=5.0)
    choose(preset, basic=basic, bottleneck=bottleneck)(config)
    return config


def basic(config):
    config.model.depths = (1, 1, 1, 1)


def bottleneck(config):
    config.model.block = "bottleneck"
    config.model.depths = (2, 2, 2, 2)
