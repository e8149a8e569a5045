"""What happens to a uint8 batch inside the compiled step: random crop and flip, erasing, mixing, and normalisation.

All that is random is drawn by a key of each image, and images are mixed in pairs of neighbours, so the result does not
depend on how the batch is spread over devices. Which two are neighbours is a matter of the epoch's random order.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.data.dataset import Normalization

CROP, FLIP, ERASE, BLEND, PASTE, CHOOSE = range(6)  # what keys of an image are for
ERASED_SHARE, ERASED_RATIO = (0.02, 0.33), (0.3, 1 / 0.3)


class Augmentation(NamedTuple):
    """What is done to training images, by the keys of the config's `data` part with the same names.

    Attributes:
      crop_padding, flip: see `crop_and_flip`.
      erasing: see `erase`.
      mixup, cutmix: see `mix`.
    """

    crop_padding: int = 0
    flip: bool = False
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @classmethod
    def of(cls, settings) -> "Augmentation":
        """That of a config's `data` part."""
        return cls(**{name: settings[name] for name in cls._fields})

    @property
    def mixes(self) -> bool:
        return bool(self.mixup or self.cutmix)


def normalize(images: jax.Array | np.ndarray, normalization: Normalization, dtype=jnp.float32) -> jax.Array:
    """(pixel / 255 - mean) / std of images (..., height, width, channels) on the scale 0..255, as `dtype`."""
    return ((images.astype(jnp.float32) / 255 - normalization.mean) / normalization.std).astype(dtype)


def augment(
    images: jax.Array, keys: jax.Array, how: Augmentation, normalization: Normalization, weight: jax.Array | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """Images as training shows them, and what share of each is its own.

    Args:
      images: uint8 (n, height, width, channels).
      keys: (n,) typed PRNG keys, one an image.
      how: what is done.
      normalization: whose mean what is erased gets.
      weight: float32 (n,), 0 for an image that does not count; None: all count.

    Returns:
      The images, uint8, or float32 on the scale 0..255 where they are erased or mixed; and float32 (n,), the rest of which
      is the share of the `neighbours`, or None where nothing is mixed.
    """
    images = crop_and_flip(images, keys, how.crop_padding, how.flip)
    if how.erasing:
        images = erase(images, keys, how.erasing, 255 * normalization.mean)
    return mix(images, keys, how.mixup, how.cutmix, weight) if how.mixes else (images, None)


def crop_and_flip(images: jax.Array, keys: jax.Array, padding: int, flip: bool) -> jax.Array:
    """Shifts each image by up to `padding` pixels over black borders and mirrors every second one.

    Args:
      images: uint8 (n, height, width, channels).
      keys: (n,) typed PRNG keys, one an image.
      padding: pixels on each side; 0 for no shift.
      flip: whether to mirror.
    """
    n, height, width, channels = images.shape
    if padding:
        offsets = jax.vmap(lambda key: jax.random.randint(jax.random.fold_in(key, CROP), (2,), 0, 2 * padding + 1))(
            keys
        )
        padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        crop = lambda image, offset: jax.lax.dynamic_slice(image, (*offset, 0), (height, width, channels))
        images = jax.vmap(crop)(padded, offsets)
    if flip:
        mirrored = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, FLIP)))(keys)
        images = jnp.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    return images


def erase(images: jax.Array, keys: jax.Array, probability: float, fill: Any) -> jax.Array:
    """Random erasing (Zhong et al., AAAI 2020): a rectangle of some of the images is gone, 2 to 33 % of the area, 0.3 to
    3.3 times as high as wide as far as the image allows.

    Args:
      images: (n, height, width, channels).
      keys: (n,) typed PRNG keys, one an image.
      probability: of an image to lose one.
      fill: what is there then; broadcasts over an image.
    """
    height, width = images.shape[1:3]

    def rectangle(key):
        by_chance, by_area, by_ratio, by_top, by_left = jax.random.split(jax.random.fold_in(key, ERASE), 5)
        least, most = ERASED_SHARE
        area = jax.random.uniform(by_area, minval=least, maxval=most) * (height * width)
        ratio = jnp.exp(
            jax.random.uniform(by_ratio, minval=math.log(ERASED_RATIO[0]), maxval=math.log(ERASED_RATIO[1]))
        )
        side = lambda length, most: jnp.clip(jnp.round(length), 1, most).astype(jnp.int32)
        rows, columns = side(jnp.sqrt(area * ratio), height), side(jnp.sqrt(area / ratio), width)
        top = jax.random.randint(by_top, (), 0, height - rows + 1)
        left = jax.random.randint(by_left, (), 0, width - columns + 1)
        happens = jax.random.bernoulli(by_chance, probability)
        return _within(height, width, top, top + rows, left, left + columns) & happens

    return jnp.where(jax.vmap(rectangle)(keys)[..., None], fill, images.astype(jnp.float32))


def mix(
    images: jax.Array, keys: jax.Array, mixup: float, cutmix: float, weight: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Mixes each image with its neighbour, which is mixed with it in turn, each by a share of its own.

    mixup blends them (Zhang et al., ICLR 2018), cutmix puts a rectangle of the neighbour into the image (Yun et al., ICCV
    2019); with both, every image is mixed by one of them, drawn at even odds. One whose neighbour does not count stays as
    it is, and so does the last of an odd number.

    Args:
      images: (n, height, width, channels).
      keys: (n,) typed PRNG keys, one an image.
      mixup, cutmix: the share of the image itself is drawn from Beta(this, this); 0: not used.
      weight: float32 (n,), 0 for an image that does not count; None: all count.

    Returns:
      The mixed images, float32, and the share of each that is its own, float32 (n,).
    """
    images = images.astype(jnp.float32)
    other = neighbours(images)
    found = [way(images, other, keys, alpha) for way, alpha in ((_blended, mixup), (_pasted, cutmix)) if alpha]
    mixed, own = found[0]
    if len(found) > 1:
        first = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, CHOOSE)))(keys)
        mixed, own = _where(first, found[0], found[1])
    if weight is not None:
        mixed, own = _where(neighbours(weight) > 0, (mixed, own), (images, jnp.ones_like(own)))
    return mixed, own


def neighbours(values: jax.Array) -> jax.Array:
    """Of each of (n, ...) the other one of its pair: 1, 0, 3, 2, ...; the last of an odd number is its own."""
    even = values.shape[0] // 2 * 2
    swapped = values[:even].reshape(-1, 2, *values.shape[1:])[:, ::-1].reshape(-1, *values.shape[1:])
    return swapped if even == values.shape[0] else jnp.concatenate([swapped, values[even:]])


def _blended(images: jax.Array, other: jax.Array, keys: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    own = jax.vmap(lambda key: jax.random.beta(jax.random.fold_in(key, BLEND), alpha, alpha))(keys)
    share = own[:, None, None, None]
    return share * images + (1 - share) * other, own


def _pasted(images: jax.Array, other: jax.Array, keys: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    height, width = images.shape[1:3]

    def rectangle(key):
        by_share, by_row, by_column = jax.random.split(jax.random.fold_in(key, PASTE), 3)
        side = jnp.sqrt(1 - jax.random.beta(by_share, alpha, alpha))
        rows, columns = ((side * length).astype(jnp.int32) for length in (height, width))
        top = jax.random.randint(by_row, (), 0, height) - rows // 2
        left = jax.random.randint(by_column, (), 0, width) - columns // 2
        return _within(height, width, top, top + rows, left, left + columns)

    cut = jax.vmap(rectangle)(keys)
    return jnp.where(cut[..., None], other, images), 1 - cut.mean((1, 2), dtype=jnp.float32)


def _within(height: int, width: int, top: Any, bottom: Any, left: Any, right: Any) -> jax.Array:
    """Where an image's pixels lie in a rectangle, bool (height, width)."""
    rows, columns = jnp.arange(height), jnp.arange(width)
    return ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))


def _where(condition: jax.Array, first: tuple, second: tuple) -> tuple:
    """For each image, of images and shares, the first or the second."""
    return jnp.where(condition[:, None, None, None], first[0], second[0]), jnp.where(condition, first[1], second[1])
