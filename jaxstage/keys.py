"""Keys by name: every random decision of a run derives from the seed and from what the decision is for."""

import zlib

import jax


def derive(key: jax.Array, *labels: str | int) -> jax.Array:
    """A key for the use that the labels name.

    The same key and labels give the same result in every process and on every host, so nothing has to be carried
    across a kill and a resume, and adding a use never changes the draws of another.

    Args:
      key: a typed PRNG key.
      *labels: strings (folded in by their CRC-32) or non-negative integers.
    """
    for label in labels:
        key = jax.random.fold_in(key, zlib.crc32(label.encode()) if isinstance(label, str) else label)
    return key
