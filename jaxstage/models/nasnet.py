"""Networks of NASNet-A cells whose depth is a tuple: normal cells of each stage, a reduction cell between stages.

Cells of Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (CVPR 2018, figure 4), wired
as in the Keras models of "Stage-Wise Neural Architecture Search" (ICPR 2020), with TensorFlow's SAME padding. A cell
takes the outputs of the two cells before it, `x`, the last, and `p`, the one before, and gives out the same for the
next: its own output and `x`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxstage.devices.cpu.xla import isolated_convolution
from jaxstage.models.layers import batch_norm, check_depths
from jaxstage.models.naming import BLOCK_OUTPUT, block_name


def nasnet(
    depths: tuple[int, ...],
    *,
    num_classes: int,
    widths: tuple[int, ...] = (32, 64, 128),
    stem: str = "cifar",
    dtype: Any = "float32",
    bn_epsilon: float = 1e-5,
    bn_momentum: float = 0.9,
    axis_name: str | None = None,
) -> nn.Module:
    """Builds a network of NASNet-A cells; pure, no parameters are made.

    Args:
      depths: normal cells of each stage, each at least 1.
      num_classes: size of the logits.
      widths: filters of each stage; a normal cell puts out six times as many, a reduction cell four times.
      stem: cifar (3x3), cifar_stride2 (3x3 with stride 2) or imagenet (3x3 with stride 2, then two reduction cells of a
        quarter and half of the filters).
      dtype: of the computation, float32 or bfloat16; parameters, BatchNorm statistics and logits are float32.
      bn_epsilon: added to BatchNorm's variance.
      bn_momentum: share of the old value in BatchNorm's running averages.
      axis_name: pmap axis over which BatchNorm averages; None under jit, where a batch is global anyway.

    Returns:
      A module: images (n, height, width, channels), normalised, and `train: bool` -> logits float32 (n, num_classes).

    Raises:
      ValueError: depths and widths differ in length, a depth is below 1, or a width too small for its stem.
    """
    check_depths(depths, widths)
    if min(widths) < 2 or stem == "imagenet" and widths[0] < 8:
        raise ValueError(f"widths {widths}: at least 2 filters a stage, with the ImageNet stem 8 in the first")
    return NASNet(
        depths=tuple(depths),
        widths=tuple(widths),
        num_classes=num_classes,
        stem=stem,
        dtype=jnp.dtype(dtype),
        norm=batch_norm(dtype, bn_epsilon, bn_momentum, axis_name),
    )


class NASNet(nn.Module):
    """See `nasnet`."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    num_classes: int
    stem: str
    dtype: Any
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        norm = partial(self.norm, use_running_average=not train)
        any_conv = partial(nn.Conv, use_bias=False, dtype=self.dtype, conv_general_dilated=isolated_convolution)
        conv = partial(any_conv, kernel_init=nn.initializers.he_normal())
        separable_conv = partial(any_conv, kernel_init=nn.initializers.glorot_uniform())
        parts = dict(conv=conv, norm=norm, separable=partial(Separable, conv=separable_conv, norm=norm))
        strides = 1 if self.stem == "cifar" else 2
        padding = "VALID" if self.stem == "imagenet" else "SAME"
        x = conv(self.widths[0], (3, 3), strides=strides, padding=padding, name="stem_conv")(x.astype(self.dtype))
        x, p = norm(name="stem_norm")(x), None
        if self.stem == "imagenet":
            for number, divisor in ((1, 4), (2, 2)):
                cell = ReductionCell(self.widths[0] // divisor, **parts, name=f"stem_reduction{number}")
                x, p = cell(x, p)
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths)):
            if stage > 0:
                x, p = ReductionCell(width, **parts, name=f"stage{stage + 1}_reduction")(x, p)
            for index in range(depth):
                x, p = NormalCell(width, **parts, name=block_name(stage, index))(x, p)
        x = nn.relu(x).mean(axis=(1, 2)).astype(jnp.float32)
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.glorot_uniform(), name="head")(x)


class NormalCell(nn.Module):
    """Keeps the resolution; its output concatenates p and five sums, each of `width` channels."""

    width: int
    conv: Callable
    norm: Callable
    separable: Callable

    @nn.compact
    def __call__(self, x: jax.Array, p: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        separable = partial(self.separable, self.width)
        p = Adjust(self.width, self.conv, self.norm, name="adjust")(x, p)
        h = self.norm(name="norm")(self.conv(self.width, (1, 1), name="conv")(nn.relu(x)))
        sums = [
            separable(5, name="left1")(h) + separable(3, name="right1")(p),
            separable(5, name="left2")(p) + separable(3, name="right2")(p),
            _average(h) + p,
            _average(p) + _average(p),
            separable(3, name="left5")(h) + h,
        ]
        output = jnp.concatenate([p, *sums], axis=-1)
        self.sow("intermediates", BLOCK_OUTPUT, output)
        return output, x


class ReductionCell(nn.Module):
    """Halves the resolution; its output concatenates four sums, each of `width` channels."""

    width: int
    conv: Callable
    norm: Callable
    separable: Callable

    @nn.compact
    def __call__(self, x: jax.Array, p: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        separable = partial(self.separable, self.width)
        halve = partial(separable, strides=2)
        p = Adjust(self.width, self.conv, self.norm, name="adjust")(x, p)
        h = self.norm(name="norm")(self.conv(self.width, (1, 1), name="conv")(nn.relu(x)))
        largest = nn.max_pool(h, (3, 3), strides=(2, 2), padding="SAME")
        first = halve(5, name="left1")(h) + halve(7, name="right1")(p)
        second = largest + halve(7, name="right2")(p)
        third = _average(h, strides=2) + halve(5, name="right3")(p)
        fourth = second + _average(first)
        fifth = separable(3, name="left4")(first) + largest
        return jnp.concatenate([second, third, fourth, fifth], axis=-1), x


class Adjust(nn.Module):
    """Brings p to the resolution of x and to `width` channels; p as it is where it has both, x where there is no p.

    The factorised reduction takes every second pixel twice, the second time one pixel further down and right, through
    a 1x1 convolution each.
    """

    width: int
    conv: Callable
    norm: Callable

    @nn.compact
    def __call__(self, x: jax.Array, p: jax.Array | None) -> jax.Array:
        if p is None:
            return x
        if p.shape[1:3] != x.shape[1:3]:
            p = nn.relu(p)
            shifted = jnp.pad(p, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
            half = self.width // 2
            p = jnp.concatenate(
                [
                    self.conv(half, (1, 1), name="conv1")(p[:, ::2, ::2]),
                    self.conv(self.width - half, (1, 1), name="conv2")(shifted[:, ::2, ::2]),
                ],
                axis=-1,
            )
            return self.norm(name="norm")(p)
        if p.shape[-1] != self.width:
            return self.norm(name="norm")(self.conv(self.width, (1, 1), name="conv")(nn.relu(p)))
        return p


class Separable(nn.Module):
    """Twice: ReLU, depthwise convolution (the first with the stride), 1x1 convolution, BatchNorm."""

    width: int
    kernel: int
    conv: Callable
    norm: Callable
    strides: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number, strides in ((1, self.strides), (2, 1)):
            x, channels, kernel = nn.relu(x), x.shape[-1], (self.kernel, self.kernel)
            x = self.conv(
                channels,
                kernel,
                strides=strides,
                feature_group_count=channels,
                conv_general_dilated=depthwise,
                name=f"depthwise{number}",
            )(x)
            x = self.conv(self.width, (1, 1), name=f"pointwise{number}")(x)
            x = self.norm(name=f"norm{number}")(x)
        return x


def depthwise(x: jax.Array, kernel: jax.Array, strides, padding, *, feature_group_count: int, **options) -> jax.Array:
    """`lax.conv_general_dilated` with one filter a channel; on CPUs with the zeros between the channels written out.

    XLA's grouped convolutions on CPUs are several times slower than ordinary ones of the same size.
    """
    convolve = partial(isolated_convolution, window_strides=strides, padding=padding, **options)
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: convolve(x, kernel * jnp.eye(kernel.shape[-1], dtype=kernel.dtype)),
        default=partial(convolve, feature_group_count=feature_group_count),
    )


def _average(x: jax.Array, strides: int = 1) -> jax.Array:
    """3x3 average pooling in which the border counts only what lies inside the image."""
    return nn.avg_pool(x, (3, 3), strides=(strides, strides), padding="SAME", count_include_pad=False)
