"""What networks have before their first stage, and which stem suits a resolution.

    stem             first layers                                        stages start at
    cifar            3x3 convolution                                     the image's resolution
    cifar_stride2    the same kernel with stride 2                       half of it
    imagenet         7x7 with stride 2, 3x3 max pooling with stride 2    a quarter of it
                     (cells: 3x3 with stride 2, two reduction cells      an eighth of it)

Where a stage starts is where its first block does; inverted-residual blocks halve the resolution there at once.

`auto` keeps the stages near the resolutions that they have on 32x32 images, and with them the cost: cifar below 48
pixels, cifar_stride2 below 128, imagenet from there on. cifar and cifar_stride2 have the same parameters, so a network
goes from 32x32 to 64x64 with its stem; at 224x224 the stem has to be learnt anew, the stages keep their weights. A network
of a source whose resolution is in the same of these ranges as the data's keeps the source's stem.
"""

from collections.abc import Callable

import jax
from flax import linen as nn

from jaxstage.models.layers import padding_of


def stem_for(resolution: int) -> str:
    """The stem that `auto` stands for; resolution in pixels a side."""
    if resolution < 48:
        return "cifar"
    return "cifar_stride2" if resolution < 128 else "imagenet"


def apply_stem(
    x: jax.Array,
    stem: str,
    width: int,
    conv: Callable,
    norm: Callable,
    padding: str = "same",
    activation: Callable = nn.relu,
) -> jax.Array:
    """Convolution, BatchNorm and activation, as listed above. Called inside the network's own __call__.

    Args:
      x: images (n, height, width, channels).
      stem: cifar (3x3), cifar_stride2 (3x3 with stride 2) or imagenet (7x7 with stride 2, then 3x3 max pooling with
        stride 2).
      width: filters.
      conv, norm: makers of the layers.
      padding: of the pooling, see `jaxstage.models.layers.padding_of`.
      activation: after BatchNorm.
    """
    size = 7 if stem == "imagenet" else 3
    x = conv(width, (size, size), strides=1 if stem == "cifar" else 2, name="stem_conv")(x)
    x = activation(norm(name="stem_norm")(x))
    return nn.max_pool(x, (3, 3), (2, 2), padding_of((3, 3), padding)) if stem == "imagenet" else x
