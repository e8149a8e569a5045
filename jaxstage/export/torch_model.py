"""A network that jaxstage found and trained, in PyTorch. Needs nothing but this file, architecture.json and weights.pt.

    from model import load
    network = load("FOLDER")        # in evaluation mode
    logits = network(images)        # pixels 0..255, uint8 or float (n, channels, height, width)

The network normalises its input itself. Layers pad as architecture.json's `padding` says: torch, half a window on each
side; or same, as TensorFlow's SAME does: where the padding is odd, the pixel more is at the bottom and on the right.
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
    """From pixels to logits: a stem, the blocks of all stages, pooling and a dense layer.

    Parts have their names in Flax; blocks are called stage1_block01 and so on.

    Attributes:
      options: architecture.json's `model` part: widths, stem, ...; what is younger than that file, as it was before.
    """

    def __init__(self, architecture: dict, stem_width: int):
        super().__init__()
        self.options = {"padding": "same", "strides": 2, "activation": "relu", **architecture["model"]}
        self.activation = {"relu": F.relu, "relu6": F.relu6}[self.options["activation"]]
        for name, value in architecture["normalization"].items():  # by channel, by pixel, or one number
            value = torch.tensor(value)
            self.register_buffer(name, value.permute(2, 0, 1) if value.ndim == 3 else value.reshape(-1, 1, 1))
        kernel = 7 if self.options["stem"] == "imagenet" else 3
        stride = 1 if self.options["stem"] == "cifar" else 2
        self.stem_conv = self.conv(architecture["input_shape"][-1], stem_width, kernel, stride)
        self.stem_norm = self.norm(stem_width)
        self.blocks, channels = [], stem_width
        for stage, (depth, width) in enumerate(zip(architecture["depths"], self.options["widths"])):
            for index in range(depth):
                block = self.block(channels, width, stage, index)
                self.blocks.append(f"stage{stage + 1}_block{index + 1:02d}")
                self.add_module(self.blocks[-1], block)
                channels = block.channels
        self.head = nn.Linear(self.add_last_layers(channels), architecture["num_classes"])

    def forward(self, images):
        x = (images.float() / 255 - self.mean) / self.std
        x = self.activation(self.stem_norm(self.stem_conv(x)))
        if self.options["stem"] == "imagenet":
            x = F.max_pool2d(padded(x, 3, 2, self.options["padding"], value=float("-inf")), 3, 2)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return self.head(self.last_layers(x).mean(dim=(2, 3)))

    def add_last_layers(self, channels):
        """What a family has between the last stage and pooling; returns the channels that this puts out."""
        return channels

    def last_layers(self, x):
        return x

    def conv(self, inputs, filters, kernel, stride=1, groups=1):
        bias, padding = self.options["conv_bias"], self.options["padding"]
        return PaddedConv2d(inputs, filters, kernel, stride, groups=groups, bias=bias, pads=padding)

    def of_stage(self, name, stage):
        """An option that has one number for all stages, or one for each."""
        value = self.options[name]
        return value[stage] if isinstance(value, list) else value

    def norm(self, channels):
        return nn.BatchNorm2d(channels, self.options["bn_epsilon"], 1 - self.options["bn_momentum"])


class ResNet(Network):
    """See jaxstage.models.resnet."""

    def __init__(self, architecture: dict):
        super().__init__(architecture, architecture["model"]["widths"][0])

    def block(self, channels, width, stage, index):
        kind = {"basic": BasicBlock, "bottleneck": BottleneckBlock}[self.options["block"]]
        return kind(self, channels, width, 2 if stage > 0 and index == 0 else 1)


class Block(nn.Module):
    """relu(shortcut(x) + residual(x)); the shortcut is a projection where the shape changes."""

    def __init__(self, net, inputs, outputs, stride):
        super().__init__()
        self.channels = outputs
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut_conv = net.conv(inputs, outputs, 1, stride)
            self.shortcut_norm = net.norm(outputs) if net.options["shortcut_norm"] else nn.Identity()

    def forward(self, x):
        shortcut = self.shortcut_norm(self.shortcut_conv(x)) if self.projects else x
        return F.relu(shortcut + self.residual(x))


class BasicBlock(Block):
    def __init__(self, net, inputs, width, stride):
        super().__init__(net, inputs, width, stride)
        self.conv1, self.norm1 = net.conv(inputs, width, 3, stride), net.norm(width)
        self.conv2, self.residual_norm = net.conv(width, width, 3), net.norm(width)

    def residual(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return self.residual_norm(self.conv2(x))


class BottleneckBlock(Block):
    def __init__(self, net, inputs, width, stride):
        super().__init__(net, inputs, 4 * width, stride)
        self.conv1, self.norm1 = net.conv(inputs, width, 1), net.norm(width)
        self.conv2, self.norm2 = net.conv(width, width, 3, stride), net.norm(width)
        self.conv3, self.residual_norm = net.conv(width, 4 * width, 1), net.norm(4 * width)

    def residual(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return self.residual_norm(self.conv3(x))


class MobileNet(Network):
    """See jaxstage.models.mobilenet."""

    def __init__(self, architecture: dict):
        super().__init__(architecture, architecture["model"]["stem_width"])

    def block(self, channels, width, stage, index):
        strides = self.of_stage("strides", stage) if index == 0 else 1
        expansion, kernel = self.of_stage("expansion", stage), self.of_stage("kernel", stage)
        return InvertedResidual(self, channels, width, strides, expansion, kernel)

    def add_last_layers(self, channels):
        width = self.options["head_width"]
        self.head_conv, self.head_norm = self.conv(channels, width, 1), self.norm(width)
        return width

    def last_layers(self, x):
        return self.activation(self.head_norm(self.head_conv(x)))


class InvertedResidual(nn.Module):
    def __init__(self, net, inputs, width, stride, expansion, kernel):
        super().__init__()
        self.channels, self.has_shortcut = width, stride == 1 and inputs == width
        self.expands, self.activation = expansion > 0, net.activation
        inside = (expansion or 1) * inputs
        if self.expands:
            self.expand, self.expand_norm = net.conv(inputs, inside, 1), net.norm(inside)
        self.depthwise = net.conv(inside, inside, kernel, stride, groups=inside)
        self.depthwise_norm = net.norm(inside)
        self.project, self.residual_norm = net.conv(inside, width, 1), net.norm(width)

    def forward(self, x):
        y = self.activation(self.expand_norm(self.expand(x))) if self.expands else x
        y = self.activation(self.depthwise_norm(self.depthwise(y)))
        y = self.residual_norm(self.project(y))
        return x + y if self.has_shortcut else y


class PaddedConv2d(nn.Conv2d):
    """A convolution that pads by itself, see `padded`."""

    def __init__(self, *sizes, pads: str, **options):
        super().__init__(*sizes, **options)
        self.pads = pads

    def forward(self, x):
        return super().forward(padded(x, self.kernel_size[0], self.stride[0], self.pads))


def padded(x, kernel: int, stride: int, pads: str, value: float = 0.0):
    """x with half a window on each side (torch), or (same) with as much as a window of `kernel` pixels needs to fit
    ceil(size / stride) times at every `stride`-th one."""
    if pads == "torch":
        return F.pad(x, [kernel // 2] * 4, value=value)
    sides = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides, value=value)


FAMILIES = {"resnet": ResNet, "mobilenet": MobileNet}
