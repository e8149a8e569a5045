"""What the families have in common when a network is put together: the check of its depths, and makers of layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxstage.devices.cpu.native import native_convolution
from jaxstage.devices.cpu.xla import isolated_convolution

CONVOLUTIONS = {"xla": isolated_convolution, "native": native_convolution}


def check_depths(depths: tuple[int, ...], widths: tuple[int, ...]) -> None:
    """Raises ValueError where depths and widths differ in length, or a depth is below 1."""
    if len(depths) != len(widths) or min(depths, default=0) < 1:
        raise ValueError(f"depths {depths} and widths {widths}: the same length, every depth at least 1")


def convolution(dtype: Any, convolutions: str, use_bias: bool = False) -> Callable:
    """A maker of convolutions before a ReLU (He et al., ICCV 2015), which compute in `dtype`, by one of CONVOLUTIONS."""
    return partial(
        nn.Conv,
        use_bias=use_bias,
        kernel_init=nn.initializers.he_normal(),
        dtype=jnp.dtype(dtype),
        conv_general_dilated=CONVOLUTIONS[convolutions],
    )


def batch_norm(dtype: Any, epsilon: float, momentum: float, axis_name: str | None) -> Callable:
    """A maker of BatchNorms; axis_name, the pmap axis that they average over, or None."""
    return partial(nn.BatchNorm, epsilon=epsilon, momentum=momentum, dtype=jnp.dtype(dtype), axis_name=axis_name)
