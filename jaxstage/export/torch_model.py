"""A network that jaxstage found and trained, in PyTorch. Needs nothing but this file, architecture.json and weights.pt.

    from model import load
    network = load("FOLDER")        # in evaluation mode
    logits = network(images)        # pixels 0..255, uint8 or float (n, channels, height, width)

The network normalises its input itself. Strided layers pad as TensorFlow's SAME does: where the padding is odd, the
pixel more is at the bottom and on the right.
"""
import json
import pathlib

import torch
import torch.nn.functional as F
from torch import nn


def load(folder) -> nn.Module:
    """The network of an export's folder, with its weights, in evaluation mode."""
    folder = pathlib.Path(folder)
    network = build(json.loads((folder / "architecture.json").read_text()))
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return network.eval()


def build(architecture: dict) -> nn.Module:
    """The network that architecture.json describes, with random weights."""
    return FAMILIES[architecture["family"]](architecture)


class Network(nn.Module):
    """Takes pixels and gives logits; what families have in common.

    Attributes:
      options: architecture.json's `model` part: widths, block, stem, ...
    """

    def __init__(self, architecture: dict):
        super().__init__()
        self.options = architecture["model"]
        for name, value in architecture["normalization"].items():  # by channel, by pixel, or one number
            value = torch.tensor(value)
            self.register_buffer(name, value.permute(2, 0, 1) if value.ndim == 3 else value.reshape(-1, 1, 1))

    def forward(self, images):
        x = self.features((images.float() / 255 - self.mean) / self.std)
        return self.head(x.mean(dim=(2, 3)))

    def conv(self, inputs, filters, kernel, stride=1):
        return SameConv2d(inputs, filters, kernel, stride, bias=self.options["conv_bias"])

    def norm(self, channels):
        return nn.BatchNorm2d(channels, self.options["bn_epsilon"], 1 - self.options["bn_momentum"])


class ResNet(Network):
    """See jaxstage.models.resnet; blocks are called stage1_block01 and so on."""

    def __init__(self, architecture: dict):
        super().__init__(architecture)
        channels = self.options["widths"][0]
        kernel = 7 if self.options["stem"] == "imagenet" else 3
        stride = 1 if self.options["stem"] == "cifar" else 2
        self.stem_conv = self.conv(architecture["input_shape"][-1], channels, kernel, stride)
        self.stem_norm = self.norm(channels)
        block = {"basic": BasicBlock, "bottleneck": BottleneckBlock}[self.options["block"]]
        self.blocks = []
        for stage, (depth, width) in enumerate(zip(architecture["depths"], self.options["widths"])):
            for index in range(depth):
                self.blocks.append(f"stage{stage + 1}_block{index + 1:02d}")
                setattr(self, self.blocks[-1], block(self, channels, width, 2 if stage > 0 and index == 0 else 1))
                channels = width * block.widening
        self.head = nn.Linear(channels, architecture["num_classes"])

    def features(self, x):
        x = F.relu(self.stem_norm(self.stem_conv(x)))
        if self.options["stem"] == "imagenet":
            x = F.max_pool2d(same_padding(x, 3, 2, value=float("-inf")), 3, 2)
        for name in self.blocks:
            x = getattr(self, name)(x)
        return x


class Block(nn.Module):
    """relu(shortcut(x) + residual(x)); the shortcut is a projection where the shape changes."""

    widening: int

    def __init__(self, net, inputs, outputs, stride):
        super().__init__()
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut_conv = net.conv(inputs, outputs, 1, stride)
            self.shortcut_norm = net.norm(outputs) if net.options["shortcut_norm"] else nn.Identity()

    def forward(self, x):
        shortcut = self.shortcut_norm(self.shortcut_conv(x)) if self.projects else x
        return F.relu(shortcut + self.residual(x))


class BasicBlock(Block):
    widening = 1

    def __init__(self, net, inputs, width, stride):
        super().__init__(net, inputs, width, stride)
        self.conv1, self.norm1 = net.conv(inputs, width, 3, stride), net.norm(width)
        self.conv2, self.residual_norm = net.conv(width, width, 3), net.norm(width)

    def residual(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return self.residual_norm(self.conv2(x))


class BottleneckBlock(Block):
    widening = 4

    def __init__(self, net, inputs, width, stride):
        super().__init__(net, inputs, 4 * width, stride)
        self.conv1, self.norm1 = net.conv(inputs, width, 1), net.norm(width)
        self.conv2, self.norm2 = net.conv(width, width, 3, stride), net.norm(width)
        self.conv3, self.residual_norm = net.conv(width, 4 * width, 1), net.norm(4 * width)

    def residual(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return self.residual_norm(self.conv3(x))


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding."""

    def forward(self, x):
        return super().forward(same_padding(x, self.kernel_size[0], self.stride[0]))


def same_padding(x, kernel: int, stride: int, value: float = 0.0):
    """Pads so that a window of `kernel` pixels at every `stride`-th one fits ceil(size / stride) times."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


FAMILIES = {"resnet": ResNet}
