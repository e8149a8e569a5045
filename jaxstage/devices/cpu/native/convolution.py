"""The kernels of convolution.cc as a differentiable function."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxstage.devices.cpu.native.library import CONVOLUTION, FILTERS, WEIGHT_GRADIENT, load
from jaxstage.devices.cpu.xla import isolated_convolution

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def native_convolution(
    images: jax.Array,
    kernel: jax.Array,
    window_strides: tuple[int, ...],
    padding,
    *,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count: int = 1,
    **options,
) -> jax.Array:
    """lax.conv_general_dilated by our own kernels where they can: for `nn.Conv(conv_general_dilated=...)`.

    They take float32 images (n, height, width, channels), one group, no dilation, equal strides, and filters in
    multiples of 4. Everything else is left to XLA. The values are those of
    XLA up to rounding; they do not depend on the number of threads.
    """
    layout = lax.conv_dimension_numbers(images.shape, kernel.shape, dimension_numbers)
    dilated = {*(lhs_dilation or ()), *(rhs_dilation or ())} - {1}
    if (
        images.dtype != jnp.float32
        or images.ndim != 4
        or feature_group_count != 1
        or dilated
        or layout != lax.conv_dimension_numbers(images.shape, kernel.shape, _LAYOUT)
        or len(set(window_strides)) != 1
        or kernel.shape[-1] % FILTERS
    ):
        return isolated_convolution(
            images,
            kernel,
            window_strides,
            padding,
            lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers,
            feature_group_count=feature_group_count,
            **options,
        )
    load()
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], window_strides, padding)
    return _convolve(images, kernel, window_strides[0], tuple(map(tuple, padding)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(images: jax.Array, kernel: jax.Array, stride: int, padding: tuple) -> jax.Array:
    size = [
        (length + sum(pads) - taps) // stride + 1
        for length, pads, taps in zip(images.shape[1:3], padding, kernel.shape[:2])
    ]
    return _call(CONVOLUTION, (images.shape[0], *size, kernel.shape[3]), images, kernel, stride, padding)


def _forward(images, kernel, stride, padding):
    return _convolve(images, kernel, stride, padding), (images, kernel)


def _backward(stride, padding, saved, cotangent):
    images, kernel = saved
    gradient = _call(WEIGHT_GRADIENT, kernel.shape, images, cotangent, stride, padding)
    if stride == 1 and images.shape[3] % FILTERS == 0:  # then it is a convolution with the kernel turned round
        turned = kernel[::-1, ::-1].swapaxes(2, 3)
        padding = [(taps - 1 - before, taps - 1 - after) for taps, (before, after) in zip(kernel.shape, padding)]
        return _call(CONVOLUTION, images.shape, cotangent, turned, 1, padding), gradient
    xla = functools.partial(
        isolated_convolution, kernel=kernel, window_strides=(stride, stride), padding=padding, dimension_numbers=_LAYOUT
    )
    return jax.vjp(xla, images)[1](cotangent)[0], gradient


_convolve.defvjp(_forward, _backward)


def _call(target: str, shape: tuple, images: jax.Array, other: jax.Array, stride: int, padding) -> jax.Array:
    (top, _), (left, _) = padding
    call = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(shape, jnp.float32))
    return call(images, other, stride=np.int64(stride), top=np.int64(top), left=np.int64(left))
