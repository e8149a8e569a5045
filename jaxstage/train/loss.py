"""Cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax


def cross_entropy(
    logits: jax.Array | np.ndarray, labels: jax.Array | np.ndarray, label_smoothing: float = 0.0
) -> jax.Array:
    """Cross-entropy of each example in nats, float32 (n,).

    Args:
      logits: (n, classes).
      labels: int (n,).
      label_smoothing: share of the target spread evenly over all classes (Szegedy et al., CVPR 2016, section 7).
    """
    logits = logits.astype(jnp.float32)
    if not label_smoothing:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(logits, targets)
