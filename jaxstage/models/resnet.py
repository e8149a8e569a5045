"""Residual networks whose depth is a tuple: blocks of each stage.

Post-activation blocks (He et al., "Deep Residual Learning", CVPR 2016). Each stage after the first halves the resolution
in its first block, so a block added at the end of a stage keeps every shape.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxstage.models.layers import batch_norm, check_depths, convolution
from jaxstage.models.naming import BLOCK_OUTPUT, RESIDUAL_NORM, block_name
from jaxstage.models.stem import apply_stem

# What the network of "Stage-Wise Neural Architecture Search" (ICPR 2020) has that differs from the defaults.
PAPER = dict(conv_bias=True, shortcut_norm=False, bn_epsilon=1e-3, bn_momentum=0.99)


def resnet(
    depths: tuple[int, ...],
    *,
    num_classes: int,
    widths: tuple[int, ...] = (16, 32, 64),
    block: str = "basic",
    stem: str = "cifar",
    padding: str = "same",
    dtype: Any = "float32",
    convolutions: str = "xla",
    conv_bias: bool = False,
    shortcut_norm: bool = True,
    bn_epsilon: float = 1e-5,
    bn_momentum: float = 0.9,
    axis_name: str | None = None,
) -> nn.Module:
    """Builds a residual network; pure, no parameters are made.

    `resnet((n, n, n), num_classes=10)` is the CIFAR ResNet-(6n+2); `resnet((3, 4, 6, 3), num_classes=1000,
    widths=(64, 128, 256, 512), block="bottleneck", stem="imagenet")` is ResNet-50, with `padding="torch"` that of PyTorch.

    Args:
      depths: blocks of each stage, each at least 1.
      num_classes: size of the logits.
      widths: filters of each stage (a bottleneck block puts out four times as many).
      block: basic (two 3x3 convolutions) or bottleneck (1x1, 3x3, 1x1).
      stem: cifar, cifar_stride2 or imagenet; see `jaxstage.models.stem`.
      padding: same (TensorFlow's) or torch; see `jaxstage.models.layers.padding_of`.
      dtype: of the computation, float32 or bfloat16; parameters, BatchNorm statistics and logits are float32.
      convolutions: what computes them: xla, or native, our own kernels for CPUs (`jaxstage.devices.cpu.native`).
      conv_bias: whether convolutions have a bias.
      shortcut_norm: whether BatchNorm follows the 1x1 convolution of a shortcut.
      bn_epsilon: added to BatchNorm's variance.
      bn_momentum: share of the old value in BatchNorm's running averages.
      axis_name: pmap axis over which BatchNorm averages; None under jit, where a batch is global anyway.

    Returns:
      A module: images (n, height, width, channels), normalised, and `train: bool` -> logits float32 (n, num_classes).

    Raises:
      ValueError: depths and widths differ in length, or a depth is below 1.
    """
    check_depths(depths, widths)
    return ResNet(
        depths=tuple(depths),
        widths=tuple(widths),
        num_classes=num_classes,
        block={"basic": BasicBlock, "bottleneck": BottleneckBlock}[block],
        stem=stem,
        padding=padding,
        dtype=jnp.dtype(dtype),
        shortcut_norm=shortcut_norm,
        conv=convolution(dtype, convolutions, padding, conv_bias),
        norm=batch_norm(dtype, bn_epsilon, bn_momentum, axis_name),
    )


class ResNet(nn.Module):
    """See `resnet`."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    num_classes: int
    block: type[nn.Module]
    stem: str
    padding: str
    dtype: Any
    shortcut_norm: bool
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        norm = partial(self.norm, use_running_average=not train)
        x = apply_stem(x.astype(self.dtype), self.stem, self.widths[0], self.conv, norm, self.padding)
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths)):
            for index in range(depth):
                x = self.block(
                    width,
                    strides=2 if stage > 0 and index == 0 else 1,
                    conv=self.conv,
                    norm=norm,
                    shortcut_norm=self.shortcut_norm,
                    name=block_name(stage, index),
                )(x)
        x = x.mean(axis=(1, 2)).astype(jnp.float32)
        return nn.Dense(self.num_classes, name="head")(x)


class BasicBlock(nn.Module):
    """relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""

    width: int
    strides: int
    conv: Callable
    norm: Callable
    shortcut_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.conv(self.width, (3, 3), strides=self.strides, name="conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y))
        y = self.conv(self.width, (3, 3), name="conv2")(y)
        y = self.norm(name=RESIDUAL_NORM)(y)
        x = _shortcut(self, x, y.shape[-1]) + y
        self.sow("intermediates", BLOCK_OUTPUT, x)
        return nn.relu(x)


class BottleneckBlock(nn.Module):
    """A 3x3 convolution between two of 1x1, the second of which widens fourfold; the stride is on the 3x3 one."""

    width: int
    strides: int
    conv: Callable
    norm: Callable
    shortcut_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.conv(self.width, (1, 1), name="conv1")(x)
        y = nn.relu(self.norm(name="norm1")(y))
        y = self.conv(self.width, (3, 3), strides=self.strides, name="conv2")(y)
        y = nn.relu(self.norm(name="norm2")(y))
        y = self.conv(4 * self.width, (1, 1), name="conv3")(y)
        y = self.norm(name=RESIDUAL_NORM)(y)
        x = _shortcut(self, x, y.shape[-1]) + y
        self.sow("intermediates", BLOCK_OUTPUT, x)
        return nn.relu(x)


def _shortcut(block: nn.Module, x: jax.Array, filters: int) -> jax.Array:
    """x itself, or its projection where the block changes the shape. Called inside the block's own __call__."""
    if block.strides == 1 and x.shape[-1] == filters:
        return x
    x = block.conv(filters, (1, 1), strides=block.strides, name="shortcut_conv")(x)
    return block.norm(name="shortcut_norm")(x) if block.shortcut_norm else x
