"""What the families have in common when a network is put together: checks of its stages, and makers of layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxstage.devices.cpu.native import native_convolution
from jaxstage.devices.cpu.xla import isolated_convolution

CONVOLUTIONS = {"xla": isolated_convolution, "native": native_convolution}
ACTIVATIONS = {"relu": nn.relu, "relu6": nn.relu6}
PADDINGS = ("same", "torch")


def check_depths(depths: tuple[int, ...], widths: tuple[int, ...]) -> None:
    """Raises ValueError where depths and widths differ in length, or a depth is below 1."""
    if len(depths) != len(widths) or min(depths, default=0) < 1:
        raise ValueError(f"depths {depths} and widths {widths}: the same length, every depth at least 1")


def each_stage(value: int | tuple[int, ...], widths: tuple[int, ...]) -> tuple[int, ...]:
    """One number for each stage, of one for all of them or of as many as there are; ValueError where it is neither."""
    numbers = (value,) * len(widths) if isinstance(value, int) else tuple(value)
    if len(numbers) != len(widths):
        raise ValueError(f"{numbers} for {len(widths)} stages: one number, or one for each stage")
    return numbers


def padding_of(kernel_size: tuple[int, int], padding: str) -> Any:
    """What a layer with such a window gets as its `padding`, by one of PADDINGS.

    same is TensorFlow's: as much as the size of the image needs, and where that is odd, the pixel more at the bottom and
    on the right. torch is what PyTorch's networks have: half a window on each side, whatever the image's size. Results
    have the same size under both, for odd windows; under stride 2 they are of other pixels.
    """
    return "SAME" if padding == "same" else [(size // 2, size // 2) for size in kernel_size]


def convolution(dtype: Any, convolutions: str, padding: str = "same", use_bias: bool = False) -> Callable:
    """A maker of convolutions before a ReLU (He et al., ICCV 2015), which compute in `dtype`, by one of CONVOLUTIONS,
    and pad by one of PADDINGS."""

    def make(features: int, kernel_size: tuple[int, int], **options) -> nn.Module:
        options = {"conv_general_dilated": CONVOLUTIONS[convolutions], **options}
        return nn.Conv(
            features,
            kernel_size,
            use_bias=use_bias,
            kernel_init=nn.initializers.he_normal(),
            dtype=jnp.dtype(dtype),
            padding=padding_of(kernel_size, padding),
            **options,
        )

    return make


def batch_norm(dtype: Any, epsilon: float, momentum: float, axis_name: str | None) -> Callable:
    """A maker of BatchNorms; axis_name, the pmap axis that they average over, or None."""
    return partial(nn.BatchNorm, epsilon=epsilon, momentum=momentum, dtype=jnp.dtype(dtype), axis_name=axis_name)


def normalized(norm: nn.BatchNorm, x: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
    """What a BatchNorm, called with statistics that are not its own choice, makes of x: with its scale and its bias."""
    factor = jax.lax.rsqrt(variance + norm.epsilon)
    if norm.use_scale:
        factor *= norm.get_variable("params", "scale")
    y = (x - mean) * factor
    if norm.use_bias:
        y += norm.get_variable("params", "bias")
    return y
