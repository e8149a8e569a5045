"""Takes the network that a search found to other data, by default from a 32x32 set to Tiny ImageNet.

    jaxstage transfer WORKDIR                              # fine-tuning
    jaxstage transfer WORKDIR --config=transfer:head       # the head alone
    jaxstage transfer WORKDIR --config=transfer:scratch    # the architecture alone
    jaxstage search --config=transfer --config.source=WORKDIR     # grow it there

Needs: a finished run in WORKDIR, and the data as a TFDS set in ~/tensorflow_datasets (or --config.data.dir=DIR; another
set with --config.data.name=NAME); where it is missing the program says how to prepare it.
Expect: lines on what was inherited and what is new and why, also in WORKDIR/transfer.json. Accuracies depend on the
source.

Fine-tuning trains what was inherited at a tenth of the learning rate (transfer.rate) and a new head or stem at the full
one; head freezes everything else, BatchNorm included, and has no decay to speak of; scratch trains everything at the
full rate. The stem follows the resolution (jaxstage/models/stem.py); --config.model.stem names another.
"""

from jaxstage.config import choose, default


def get_config(preset="finetune"):
    config = default()
    config.task = "transfer"
    config.data.name = "tiny_imagenet"
    config.data.crop_padding = 8
    config.model.stem = "auto"
    config.optimizer.label_smoothing = 0.1
    choose(preset, finetune=finetune, head=head, scratch=scratch)(config)
    return config


def finetune(config):
    config.final.epochs = 30
    config.final.warmup_epochs = 1.0


def head(config):
    config.transfer.mode = "head"
    config.optimizer.weight_decay = 1e-5
    config.final.epochs = 15


def scratch(config):
    config.transfer.mode = "scratch"
    config.final.epochs = 100
    config.final.warmup_epochs = 2.0
