"""The procedure that "Stage-Wise Neural Architecture Search" (ICPR 2020) published, with nothing added.

    jaxstage search --config=cifar10_paper:smoke     # 2 CPU cores, minutes: shorter in every respect
    jaxstage search --config=cifar10_paper           # full: some 7,000 passes over the images

Needs: CIFAR-10 as a TFDS set in ~/tensorflow_datasets (or --config.data.dir=DIR); where it is missing the program says
how to prepare it.
Expect: smoke trains on 1,440 images at half the width and reaches about 38 % on a JPEG copy. full has not been
measured; the paper gives 94.27 % on (lossless) CIFAR-10 for its last network, of depth 67.

Residual modules from depths (2, 2, 2); each of five rounds adds two blocks to the stages whose mean PLS-VIP on the
training data is higher in the probe, however little; every candidate is trained from scratch for 200 epochs, the final
network for 100 more. An epoch shows three augmented copies of every image. The paper has no validation split and names
no batch size: here 1,000 images are held out, for the record alone, and a batch is 128. L2 was 1e-4, which adds 2e-4
times the weight to a gradient.
"""

from jaxstage.config import choose, default
from jaxstage.models.resnet import PAPER


def get_config(preset="full"):
    config = default()
    config.data.update(name="cifar10", normalize="pixel", copies=3)
    config.model.update(depths=(2, 2, 2), widths=(16, 32, 64), **PAPER)
    config.optimizer.update(
        learning_rate=0.01, momentum=0.9, nesterov=True, weight_decay=2e-4, decay_head=False, time_decay=1e-6
    )
    config.candidate.update(schedule="step", warmup_epochs=0.0)
    config.final.update(schedule="step", warmup_epochs=0.0)
    config.importance.method = "pls_vip"
    config.importance.examples = None
    config.growth.update(step=2, rule="absolute_rise", margin=0.0, max_rounds=5)
    config.inherit.method = "scratch"
    choose(preset, full=full, smoke=smoke)(config)
    return config


def full(config):
    config.data.validation = 0.02
    config.candidate.update(epochs=200, drop_epochs=(100, 150))
    config.final.update(epochs=300, drop_epochs=(100, 150))


def smoke(config):
    config.data.examples = 1_600
    config.batch_size = 32
    config.model.widths = (8, 16, 32)
    config.growth.max_rounds = 3
    config.candidate.update(epochs=4, drop_epochs=(2, 3))
    config.final.update(epochs=6, drop_epochs=(2, 3))
