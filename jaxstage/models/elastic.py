"""Elastic networks: the last blocks of every stage can be switched off, for each example apart (DESIGN.md, section 3.2).

A block that is off hands on what it was given: of a residual block the branch is multiplied by 0. Blocks go off from the
end of a stage, so a *state*, which blocks are on, is a depths tuple, and the network in a state computes what the network
of these depths computes with the same weights. Which state is data: one compiled program for all of them.

Any family will do whose blocks, called `block_name(stage, index)`, give out what they take in, in the same shapes; NASNet
cells do from the third of a stage on.
"""
from typing import Any, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxstage.models.naming import parse_block


def apply(module: nn.Module, variables: Any, images: jax.Array, depths: jax.Array, lower: Sequence[int], **options) -> Any:
    """`module.apply(variables, images, **options)` with a state for each example.

    Example:
      module = resnet((3, 3), num_classes=10, widths=(8, 16))
      logits = apply(module, variables, images, jnp.array([2, 3]), lower=(1, 1), train=False)

    Args:
      module: the network of the upper depths.
      variables: its params and batch_stats.
      images: as the module takes them, (n, height, width, channels).
      depths: int32 (n, stages), how many blocks of each stage are on for each example; or (stages,), for all.
      lower: depths below which nothing is ever switched off, each at least 1.
      options: of `module.apply`: train, mutable.
    """
    depths = jnp.broadcast_to(depths, (images.shape[0], len(lower)))

    def switch(call, args, kwargs, context):
        output = call(*args, **kwargs)
        block = parse_block(context.module.name or "")
        if context.method_name != "__call__" or block is None or block[1] < lower[block[0]]:
            return output
        stage, place = block
        on = (depths[:, stage] > place)[:, None, None, None]
        given = args[0] if len(args) == 1 else tuple(args)
        return jax.tree.map(lambda new, old: jnp.where(on, new, old), output, given)

    with nn.intercept_methods(switch):
        return module.apply(variables, images, **options)


def deal(states: jax.Array, position: jax.Array, key: jax.Array) -> jax.Array:
    """A state for each example of a batch, all states equally often (or once more), int32 (n, stages).

    Args:
      states: int32 (m, stages).
      position: int32 (n,), the examples' places in the global batch, so that it does not matter how that is spread over
        devices.
      key: of the step; it says with which state the batch begins.
    """
    return take_turns(states, position + jax.random.randint(key, (), 0, states.shape[0]))


def take_turns(states: jax.Array, position: jax.Array) -> jax.Array:
    """The states one after the other, over and over: that of each place, int32 (n, stages)."""
    return states[position % states.shape[0]]
