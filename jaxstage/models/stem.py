"""What residual networks of any kind have before their first stage."""
from typing import Callable

import jax
from flax import linen as nn


def apply_stem(x: jax.Array, stem: str, width: int, conv: Callable, norm: Callable) -> jax.Array:
    """Convolution, BatchNorm and ReLU, as `jaxstage.stems` lists them. Called inside the network's own __call__.

    Args:
      x: images (n, height, width, channels).
      stem: cifar (3x3), cifar_stride2 (3x3 with stride 2) or imagenet (7x7 with stride 2, then 3x3 max pooling with
        stride 2).
      width: filters.
      conv, norm: makers of the layers.
    """
    size = 7 if stem == "imagenet" else 3
    x = conv(width, (size, size), strides=1 if stem == "cifar" else 2, name="stem_conv")(x)
    x = nn.relu(norm(name="stem_norm")(x))
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME") if stem == "imagenet" else x
