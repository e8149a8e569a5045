"""Finds the network for a folder of your own pictures: fine-tunes a pretrained one, reads which of its blocks these
pictures need, keeps those and trains them to the end.

    jaxstage import efficientnet-lite0-57934424.pth --model=efficientnet_lite0 --out=runs/lite0
    jaxstage search --config=photos --config.source=runs/lite0 --config.data.folder=my_photos
    jaxstage search --config=photos --config.data.folder=my_photos              # from nothing, without a source

Needs: my_photos/CLASS/PICTURE, a few dozen pictures a class or more; docs/pretrained.md says where weights come from.
Expect: a table of what was found in the folder, the response of every stage, the cheapest network within one standard
error of the best, and report.html. On CIFAR-10 (a JPEG copy) with 200 images a class EfficientNet-Lite0 keeps about half of its
MACs so, and reaches 66.9 % where the whole of it, fine-tuned, reaches 65.3, and 34.5 from scratch (studies/README.md).

A budget goes with it: --config.growth.max_macs=20000000, max_parameters, max_latency_ms. --config.data.image_size=224
takes an accelerator; --config.growth.max_rounds=3 also tries more blocks than the source has.
"""

from jaxstage.config import default


def get_config():
    config = default()
    config.data.name = ""
    config.data.input = "streaming"
    config.data.image_size = 64
    config.data.validation = 0.2
    config.data.crop_padding = 0
    config.data.crop_scale = (0.5, 1.0)
    config.model.depths = (2, 2, 2, 2)
    config.model.widths = (32, 64, 128, 256)
    config.model.stem = "auto"
    config.optimizer.learning_rate = 0.02
    config.optimizer.label_smoothing = 0.1
    config.optimizer.ema = 0.98
    config.transfer.rate = 1.0
    config.growth.rule = "elastic"
    config.growth.min_depth = (1,)
    config.growth.within = 1.0
    config.growth.max_rounds = 1
    config.candidate.epochs = 10
    config.candidate.schedule = "cosine"
    config.candidate.warmup_epochs = 1.0
    config.final.epochs = 20
    config.final.warmup_epochs = 1.0
    return config
