"""Networks of inverted-residual blocks whose depth is a tuple: blocks of each stage.

Blocks of Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018), in the layout of
NAS-Bench-Macro (Su et al., CVPR 2021, arXiv 2103.11922). The first block of each stage, also of the first one, halves the
resolution unless `strides` says otherwise, so a block added at the end of a stage keeps every shape. A block has a
shortcut where it gives out what it takes in.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxstage.models.layers import ACTIVATIONS, batch_norm, check_depths, convolution, each_stage
from jaxstage.models.naming import BLOCK_OUTPUT, RESIDUAL_NORM, block_name
from jaxstage.models.stem import apply_stem


def mobilenet(
    depths: tuple[int, ...],
    *,
    num_classes: int,
    widths: tuple[int, ...] = (64, 128, 256),
    expansion: int | tuple[int, ...] = 3,
    kernel: int | tuple[int, ...] = 3,
    strides: int | tuple[int, ...] = 2,
    activation: str = "relu",
    stem: str = "cifar",
    stem_width: int = 32,
    head_width: int = 1280,
    padding: str = "same",
    dtype: Any = "float32",
    convolutions: str = "xla",
    bn_epsilon: float = 1e-5,
    bn_momentum: float = 0.9,
    axis_name: str | None = None,
) -> nn.Module:
    """Builds a network of inverted-residual blocks; pure, no parameters are made.

    `mobilenet((2, 3, 3), num_classes=10)` is the network of NAS-Bench-Macro with a block of expansion 3 and kernel 3 in
    every place; EfficientNet-Lite0 is in `jaxstage.interop.published`.

    Args:
      depths: blocks of each stage, each at least 1.
      num_classes: size of the logits.
      widths: channels that the blocks of each stage put out.
      expansion: channels inside a block for each channel of its input; 0: as many, without a convolution that makes
        them. One number, or one for each stage, and so for the next two.
      kernel: pixels a side of the depthwise convolutions.
      strides: of each stage's first block.
      activation: relu or relu6.
      stem_width, head_width: channels of the stem, and of the 1x1 convolution after the last stage.
      stem, padding, dtype, convolutions, bn_epsilon, bn_momentum, axis_name: as of `jaxstage.models.resnet.resnet`; those
        convolutions that are depthwise are never native.

    Returns:
      A module: images (n, height, width, channels), normalised, and `train: bool` -> logits float32 (n, num_classes).

    Raises:
      ValueError: depths or what each stage has differ from widths in length, or a depth is below 1.
    """
    check_depths(depths, widths)
    return MobileNet(
        depths=tuple(depths),
        widths=tuple(widths),
        num_classes=num_classes,
        expansion=each_stage(expansion, widths),
        kernel=each_stage(kernel, widths),
        strides=each_stage(strides, widths),
        activation=ACTIVATIONS[activation],
        stem=stem,
        stem_width=stem_width,
        head_width=head_width,
        padding=padding,
        dtype=jnp.dtype(dtype),
        conv=convolution(dtype, convolutions, padding),
        norm=batch_norm(dtype, bn_epsilon, bn_momentum, axis_name),
    )


class MobileNet(nn.Module):
    """See `mobilenet`."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    num_classes: int
    expansion: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    activation: Callable
    stem: str
    stem_width: int
    head_width: int
    padding: str
    dtype: Any
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        norm = partial(self.norm, use_running_average=not train)
        x = x.astype(self.dtype)
        x = apply_stem(x, self.stem, self.stem_width, self.conv, norm, self.padding, self.activation)
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths)):
            for index in range(depth):
                x = InvertedResidual(
                    width,
                    strides=self.strides[stage] if index == 0 else 1,
                    expansion=self.expansion[stage],
                    kernel=self.kernel[stage],
                    conv=self.conv,
                    norm=norm,
                    activation=self.activation,
                    name=block_name(stage, index),
                )(x)
        x = self.activation(norm(name="head_norm")(self.conv(self.head_width, (1, 1), name="head_conv")(x)))
        x = x.mean(axis=(1, 2)).astype(jnp.float32)
        return nn.Dense(self.num_classes, name="head")(x)


class InvertedResidual(nn.Module):
    """x + norm(project(act(norm(depthwise(act(norm(expand(x)))))))), without x where the shape changes; nothing after."""

    width: int
    strides: int
    expansion: int
    kernel: int
    conv: Callable
    norm: Callable
    activation: Callable = nn.relu

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inside, y = (self.expansion or 1) * x.shape[-1], x
        if self.expansion:
            y = self.conv(inside, (1, 1), name="expand")(y)
            y = self.activation(self.norm(name="expand_norm")(y))
        y = self.conv(
            inside,
            (self.kernel, self.kernel),
            strides=self.strides,
            feature_group_count=inside,
            conv_general_dilated=depthwise,
            name="depthwise",
        )(y)
        y = self.activation(self.norm(name="depthwise_norm")(y))
        y = self.conv(self.width, (1, 1), name="project")(y)
        y = self.norm(name=RESIDUAL_NORM)(y)
        x = x + y if self.strides == 1 and x.shape[-1] == self.width else y
        self.sow("intermediates", BLOCK_OUTPUT, x)
        return x


def depthwise(x: jax.Array, kernel: jax.Array, strides, padding, *, feature_group_count: int, **options) -> jax.Array:
    """`lax.conv_general_dilated` with one filter a channel; on CPUs as a sum of shifted images, one a kernel's pixel.

    XLA's grouped convolutions are slow on CPUs. Forward and backward with a BatchNorm around, 3x3, 64 images of
    16x16x48: 35 ms, as a sum 8 ms; 8x8x96: 17 and 1; 4x4x768: 64 and 11 (2 cores); and a whole training step takes a
    third to a sixth of the time. An ordinary convolution with the zeros between the channels written out, which suits
    the wide kernels and few channels of cells, takes 12 ms, 8 ms, and far too many zeros.
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_sum_of_shifted, strides=strides, padding=padding),
        default=partial(
            lax.conv_general_dilated,
            window_strides=strides,
            padding=padding,
            feature_group_count=feature_group_count,
            **options,
        ),
    )


def _sum_of_shifted(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: Any) -> jax.Array:
    """A depthwise convolution of x (n, height, width, channels) with a kernel (height, width, 1, channels)."""
    named = isinstance(padding, str)
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding) if named else padding
    x = jnp.pad(lax.optimization_barrier(x), ((0, 0), *pads, (0, 0)))  # the barriers: see jaxstage/devices/cpu/xla.py
    (down, right), (height, width) = strides, kernel.shape[:2]
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    shifted = (
        x[:, i : i + rows : down, j : j + columns : right] * kernel[i, j, 0]
        for i in range(height)
        for j in range(width)
    )
    return lax.optimization_barrier(sum(shifted))
