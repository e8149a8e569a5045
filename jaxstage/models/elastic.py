"""Elastic networks: the last blocks of every stage can be switched off, for each example apart (DESIGN.md, section 3.2).

A block that is off hands on what it was given. Blocks go off from the end of a stage, so a *state*, which blocks are on,
is a depths tuple, and the network in a state computes what the network of these depths computes with the same weights.

There are two ways to compute it, each one compiled program for all states:

  apply: the states are data, of any kind. One state of all examples costs what its network costs, for reading; where
    each has its own, a block that is off is computed all the same, and what came out is left.
  apply_dealt: how many examples have how many blocks on is fixed, which ones is data; each block sees those alone for
    which it is on, also in its BatchNorms. What is off costs nothing. For training.

Any family will do whose blocks, called `block_name(stage, index)`, give out what they take in, in the same shapes; NASNet
cells do from the third of a stage on.
"""
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxstage.models.naming import parse_block
from jaxstage.random import derive

GROUP = 32  # examples among which depths are shared out

Shares = tuple[tuple[int, ...], ...]  # for each stage the depths that a group's examples have, the deepest first


def apply(module: nn.Module, variables: Any, images: jax.Array, depths: jax.Array, lower: Sequence[int], **options) -> Any:
    """`module.apply(variables, images, **options)` with a state for each example.

    Example:
      module = resnet((3, 3), num_classes=10, widths=(8, 16))
      logits = apply(module, variables, images, jnp.array([2, 3]), lower=(1, 1), train=False)

    Args:
      module: the network of the upper depths.
      variables: its params and batch_stats.
      images: as the module takes them, (n, height, width, channels).
      depths: int32 (stages,), how many blocks of each stage are on; or (n, stages), for each example. Gradients of the
        former are slow on CPUs, where XLA is bad at those of convolutions in branches.
      lower: depths below which nothing is ever switched off, each at least 1.
      options: of `module.apply`: train, mutable.
    """

    def choose(stage: int, place: int, block: nn.Module, given: tuple):
        on = depths[..., stage] > place
        if depths.ndim == 1:
            return nn.cond(on, lambda block, *given: block(*given), lambda block, *given: _as_output(given), block, *given)
        leave = lambda new, old: jnp.where(on[:, None, None, None], new, old)
        return jax.tree.map(leave, block(*given), _as_output(given))

    return _switched(module, variables, images, lower, choose, options)


def apply_dealt(
    module: nn.Module, variables: Any, images: jax.Array, order: jax.Array, shares: Shares, lower: Sequence[int], **options
) -> Any:
    """`module.apply(variables, images, **options)` with states that were dealt.

    Args:
      module, variables, images, lower, options: as of `apply`.
      order: see `deal`.
      shares: see `share_out`.
    """

    def choose(stage: int, place: int, block: nn.Module, given: tuple):
        number = sum(depth > place for depth in shares[stage])  # of a group's examples
        if number == len(shares[stage]):
            return block(*given)
        # Within groups, so that nothing crosses from one device to another.
        rows, groups = order[stage, :, :number], order.shape[1]
        split = lambda part: part.reshape(groups, -1, *part.shape[1:])
        merge = lambda part: part.reshape(-1, *part.shape[2:])
        new = block(*(merge(jax.vmap(_take)(split(part), rows)) for part in given))
        put = lambda old, new: merge(jax.vmap(_put)(split(old), rows, split(new)))
        return jax.tree.map(put, _as_output(given), new)

    return _switched(module, variables, images, lower, choose, options)


def share_out(states: Sequence[tuple[int, ...]], group: int) -> Shares:
    """The depths that a group's examples have in each stage: as often as among the states, every stage's deepest once.

    Example:
      share_out([(1, 1), (1, 2), (2, 1), (2, 2)], 4)  # ((2, 2, 1, 1), (2, 2, 1, 1))
    """
    places = (np.arange(group) + 0.5) * len(states) / group
    shares = []
    for depths in zip(*states):
        ordered = sorted(depths, reverse=True)
        shares.append((ordered[0], *(ordered[int(place)] for place in places[1:])))
    return tuple(shares)


def deal(stages: int, position: jax.Array, group: int, key: jax.Array) -> jax.Array:
    """Who gets what: an order of each group's examples for each stage, int32 (stages, groups, group).

    The example at `order[stage, n, r]` of group n has depth `shares[stage][r]` there. Orders are drawn for each stage apart,
    so that the depths of the stages come together in every way.

    Args:
      stages: number of them.
      position: int32 (n,), consecutive places of the examples in the global batch, n a multiple of `group`; with the same
        groups it does not matter how that is spread over devices.
      group: number of examples among which depths are shared out.
      key: of the step.
    """
    groups = position[::group] // group

    def one(stage, number):
        return jax.random.permutation(derive(key, stage, number), group)

    return jnp.stack([jax.vmap(lambda number, stage=stage: one(stage, number))(groups) for stage in range(stages)])


def dealt_depths(order: jax.Array, shares: Shares) -> jax.Array:
    """The state of each example, int32 (n, stages), as `apply` takes it."""
    # depths[stage][r] belongs to example order[stage, n, r]: the inverse order says which r an example has.
    return jnp.stack([jnp.array(depths)[rows.argsort(axis=1)].reshape(-1) for rows, depths in zip(order, shares)], axis=1)


def take_turns(states: jax.Array, position: jax.Array) -> jax.Array:
    """The states, int32 (m, stages), one after the other, over and over: that of each place, int32 (n, stages)."""
    return states[position % states.shape[0]]


def _switched(module: nn.Module, variables: Any, images: jax.Array, lower: Sequence[int], choose: Callable, options: dict):
    """Applies a module with `choose(stage, place, block, given)` in place of every block that can be off."""
    chosen = []  # blocks whose call comes from `choose`

    def switch(call, args, kwargs, context):
        block, place = context.module, parse_block(context.module.name or "")
        if context.method_name != "__call__" or place is None or place[1] < lower[place[0]] or place in chosen:
            return call(*args, **kwargs)
        chosen.append(place)
        out = choose(*place, block, args)
        chosen.remove(place)
        return out

    with nn.intercept_methods(switch):
        return module.apply(variables, images, **options)


def _take(part: jax.Array, rows: jax.Array) -> jax.Array:
    return part[rows]


def _put(part: jax.Array, rows: jax.Array, new: jax.Array) -> jax.Array:
    return part.at[rows].set(new, unique_indices=True)


def _as_output(given: tuple) -> Any:
    """What a block hands on that is off."""
    return given[0] if len(given) == 1 else given
