"""What happens to a uint8 batch inside the compiled step: random crop and flip, and normalisation."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.data.dataset import Normalization


def normalize(images: jax.Array | np.ndarray, normalization: Normalization, dtype=jnp.float32) -> jax.Array:
    """(pixel / 255 - mean) / std of uint8 images (..., height, width, channels), as `dtype`."""
    return ((images.astype(jnp.float32) / 255 - normalization.mean) / normalization.std).astype(dtype)


def crop_and_flip(images: jax.Array, keys: jax.Array, padding: int, flip: bool) -> jax.Array:
    """Shifts each image by up to `padding` pixels over black borders and mirrors every second one.

    Args:
      images: uint8 (n, height, width, channels).
      keys: (n,) typed PRNG keys, one an image, so the result does not depend on how the batch is spread over devices.
      padding: pixels on each side; 0 for no shift.
      flip: whether to mirror.
    """
    n, height, width, channels = images.shape
    if padding:
        offsets = jax.vmap(lambda key: jax.random.randint(jax.random.fold_in(key, 0), (2,), 0, 2 * padding + 1))(keys)
        padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        crop = lambda image, offset: jax.lax.dynamic_slice(image, (*offset, 0), (height, width, channels))
        images = jax.vmap(crop)(padded, offsets)
    if flip:
        mirrored = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 1)))(keys)
        images = jnp.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    return images
