"""BatchNorms that stay as in evaluation while the rest of a network is in training."""

from collections.abc import Collection
from contextlib import AbstractContextManager

import jax
from flax import linen as nn

from jaxstage.models.layers import normalized


def frozen_norms(paths: Collection[tuple[str, ...]]) -> AbstractContextManager:
    """A context in which the BatchNorms of any module that are at these paths normalise by their running averages, and
    leave them as they are. Their scales and biases can be trained.

    Example:
      with frozen_norms({("stage1_block01", "norm1")}):
          logits, updates = module.apply(variables, images, train=True, mutable=["batch_stats"])
    """

    def call(next_call, args, kwargs, context):
        is_norm = isinstance(context.module, nn.BatchNorm) and context.method_name == "__call__"
        if is_norm and context.module.path in paths:
            return _by_running_averages(context.module, *args)
        return next_call(*args, **kwargs)

    return nn.intercept_methods(call)


def _by_running_averages(norm: nn.BatchNorm, x: jax.Array) -> jax.Array:
    mean, variance = (norm.get_variable("batch_stats", name) for name in ("mean", "var"))
    return normalized(norm, x, mean, variance).astype(norm.dtype or x.dtype)
