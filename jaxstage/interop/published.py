"""The published networks that can be imported. No JAX here: the command line lists them.

ResNets as PyTorch's authors have them (torchvision, timm), and EfficientNet-Lite as TensorFlow's published it in 2020:
MobileNetV2's blocks in the shape of EfficientNet, with ReLU6 and without squeeze-and-excite.
"""

from typing import Any, NamedTuple


class Published(NamedTuple):
    """A network that can be imported.

    Attributes:
      model: what a config's `model` part has for it that differs from the defaults.
      image_size: pixels a side that it was trained with.
      mean, std: of each channel, on the scale 0..1.
    """

    model: dict[str, Any]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _resnet(depths: tuple[int, ...], block: str) -> Published:
    model = {"family": "resnet", "block": block, "stem": "imagenet", "padding": "torch"}
    model |= {"depths": depths, "widths": (64, 128, 256, 512)}
    return Published(model, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _lite(depths: tuple[int, ...], widths: tuple[int, ...], image_size: int) -> Published:
    model = {
        "family": "mobilenet",
        "depths": depths,
        "widths": widths,
        "expansion": (0, 6, 6, 6, 6, 6, 6),
        "kernel": (3, 3, 5, 3, 5, 5, 3),
        "strides": (1, 2, 2, 2, 1, 2, 1),
        "activation": "relu6",
        "stem": "cifar_stride2",
        "bn_epsilon": 1e-3,
    }
    return Published(model, image_size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


PUBLISHED = {
    "resnet18": _resnet((2, 2, 2, 2), "basic"),
    "resnet34": _resnet((3, 4, 6, 3), "basic"),
    "resnet50": _resnet((3, 4, 6, 3), "bottleneck"),
    "efficientnet_lite0": _lite((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320), 224),
    "efficientnet_lite1": _lite((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320), 240),
    "efficientnet_lite2": _lite((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352), 260),
}
