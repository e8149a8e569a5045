"""Elastic networks: the last blocks of every stage can be switched off, for each example apart (DESIGN.md, section 3.2).

A block that is off hands on what it was given. Blocks go off from the end of a stage, so a *state*, which blocks are
on, is a depths tuple, and the network in a state computes what the network of these depths computes with the same
weights.

There are two ways to compute it, each one compiled program for all states:

  apply: the states are data, of any kind. One state of all examples costs what its network costs, for reading; where
    each has its own, a block that is off is computed all the same, and what came out is left.
  apply_dealt: a batch is a few micro-batches, each with a state of its own and, in training, with BatchNorm statistics
    of its own. How many have how many blocks on is fixed, which ones is data; what is off costs nothing. For training.

Any family will do whose blocks, called `block_name(stage, index)`, give out what they take in, in the same shapes;
NASNet cells do from the third of a stage on.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxstage.keys import derive
from jaxstage.models.layers import normalized
from jaxstage.models.naming import parse_block

MICRO_BATCH, LEAST_CARDS, MOST_CARDS = 16, 4, 8


class Deck(NamedTuple):
    """How a device's examples are dealt states: in decks of as many micro-batches as there are cards.

    Attributes:
      lower: depths below which nothing is ever switched off.
      shares: for each stage the depths that the micro-batches of a deck have, the deepest first.
      size: examples of a micro-batch.
    """

    lower: tuple[int, ...]
    shares: tuple[tuple[int, ...], ...]
    size: int

    @property
    def cards(self) -> int:
        return len(self.shares[0])

    @property
    def states(self) -> tuple[tuple[int, ...], ...]:
        """Depths that a deck may be dealt: whatever it is, it costs what these cost, one for each micro-batch."""
        return tuple(zip(*self.shares))


def apply(
    module: nn.Module, variables: Any, images: jax.Array, depths: jax.Array, lower: Sequence[int], **options
) -> Any:
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
            return nn.cond(
                on, lambda block, *given: block(*given), lambda block, *given: _as_output(given), block, *given
            )
        leave = lambda new, old: jnp.where(on[:, None, None, None], new, old)
        return jax.tree.map(leave, block(*given), _as_output(given))

    return _switched(module, variables, images, lower, choose, options)


def apply_dealt(module: nn.Module, variables: Any, images: jax.Array, order: jax.Array, deck: Deck, **options) -> Any:
    """`module.apply(variables, images, **options)` with a dealt state for each micro-batch.

    In training a BatchNorm normalises each micro-batch by itself, as the network in its state alone would (ghost
    batches; Hoffer et al., NeurIPS 2017). With statistics of the whole batch, where images of many states meet,
    readings told early stages' gains much too low (studies/README.md).

    Args:
      module, variables, images, options: as of `apply`; the micro-batches are consecutive images.
      order: see `deal`.
      deck: see `make_deck`.
    """
    decks = order.shape[1]

    def choose(stage: int, place: int, block: nn.Module, given: tuple):
        number = sum(depth > place for depth in deck.shares[stage])  # of its micro-batches
        if number == deck.cards:
            return block(*given)
        # Within decks, so that nothing crosses from one device to another.
        rows = order[stage, :, :number]
        split = lambda part: part.reshape(decks, -1, deck.size, *part.shape[1:])
        merge = lambda part: part.reshape(-1, *part.shape[3:])
        new = block(*(merge(jax.vmap(_take)(split(part), rows)) for part in given))
        put = lambda old, new: merge(jax.vmap(_put)(split(old), rows, split(new)))
        return jax.tree.map(put, _as_output(given), new)

    size = deck.size if options.get("train") else None
    return _switched(module, variables, images, deck.lower, choose, options, size)


def make_deck(states: Sequence[tuple[int, ...]], batch_size: int) -> Deck:
    """A deck for a device that gets so many examples: depths come as often in it as among the states, what is left over
    goes to the deeper ones, and the lowest has at least one micro-batch.

    Example:
      make_deck([(1, 1), (1, 2), (2, 1), (2, 2)], 64).shares  # ((2, 2, 1, 1), (2, 2, 1, 1))
    """
    size = math.gcd(batch_size, MICRO_BATCH)
    while size > 1 and batch_size // size < LEAST_CARDS:
        size //= 2
    number = batch_size // size
    cards = max(cards for cards in range(1, MOST_CARDS + 1) if number % cards == 0)
    cards = cards if cards >= LEAST_CARDS else number
    places = np.arange(cards) * len(states) // cards
    places[-1] = len(states) - 1
    by_stage = np.sort(np.array(states), axis=0)[::-1]  # each stage's depths by themselves, the deepest first
    return Deck(tuple(by_stage[-1].tolist()), tuple(map(tuple, by_stage[places].T.tolist())), size)


def deal(deck: Deck, position: jax.Array, key: jax.Array) -> jax.Array:
    """Who gets what: an order of each deck's micro-batches for each stage, int32 (stages, decks, cards).

    Micro-batch `order[stage, n, r]` of deck n has depth `deck.shares[stage][r]` there. Orders are drawn for each stage
    apart, so that the depths of the stages come together in every way.

    Args:
      deck: see `make_deck`.
      position: int32 (n,), consecutive places of the examples in the global batch, whole decks; how these are spread
        over devices does not matter.
      key: of the step.
    """
    whole = deck.cards * deck.size
    numbers = position[::whole] // whole

    def one(stage, number):
        return jax.random.permutation(derive(key, stage, number), deck.cards)

    stages = range(len(deck.lower))
    return jnp.stack([jax.vmap(lambda number, stage=stage: one(stage, number))(numbers) for stage in stages])


def dealt_depths(order: jax.Array, deck: Deck) -> jax.Array:
    """The state of each example, int32 (n, stages), as `apply` takes it."""
    # depths[stage][r] belongs to micro-batch order[stage, n, r]: the inverse order says which r one has.
    of_cards = [jnp.array(depths)[rows.argsort(axis=1)].reshape(-1) for rows, depths in zip(order, deck.shares)]
    return jnp.repeat(jnp.stack(of_cards, axis=1), deck.size, axis=0)


def take_turns(states: jax.Array, position: jax.Array) -> jax.Array:
    """The states, int32 (m, stages), one after the other, over and over: that of each place, int32 (n, stages)."""
    return states[position % states.shape[0]]


def _switched(
    module: nn.Module,
    variables: Any,
    images: jax.Array,
    lower: Sequence[int],
    choose: Callable,
    options: dict,
    size: int | None = None,
):
    """Applies a module with `choose(stage, place, block, given)` in place of every block that can be off, and with
    BatchNorms of micro-batches of that size, if one is given."""
    chosen = []  # blocks whose call comes from `choose`

    def switch(call, args, kwargs, context):
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        if size and isinstance(context.module, nn.BatchNorm):
            return _normalize(context.module, *args, size=size)
        block, place = context.module, parse_block(context.module.name or "")
        if place is None or place[1] < lower[place[0]] or place in chosen:
            return call(*args, **kwargs)
        chosen.append(place)
        out = choose(*place, block, args)
        chosen.remove(place)
        return out

    with nn.intercept_methods(switch):
        return module.apply(variables, images, **options)


def _normalize(norm: nn.BatchNorm, x: jax.Array, size: int) -> jax.Array:
    """A BatchNorm in training, of each `size` consecutive examples; its running averages move to the mean over these."""
    parts = x.astype(jnp.float32).reshape(-1, size, *x.shape[1:])
    axes = tuple(range(1, parts.ndim - 1))
    mean = parts.mean(axes, keepdims=True)
    variance = jnp.maximum(0.0, jnp.square(parts).mean(axes, keepdims=True) - jnp.square(mean))
    for name, found in (("mean", mean), ("var", variance)):
        found = found.mean(0).reshape(-1)
        found = jax.lax.pmean(found, norm.axis_name) if norm.axis_name else found
        old = norm.get_variable("batch_stats", name)
        norm.put_variable("batch_stats", name, norm.momentum * old + (1 - norm.momentum) * found)
    return normalized(norm, parts, mean, variance).reshape(x.shape).astype(norm.dtype or x.dtype)


def _take(part: jax.Array, rows: jax.Array) -> jax.Array:
    return part[rows]


def _put(part: jax.Array, rows: jax.Array, new: jax.Array) -> jax.Array:
    return part.at[rows].set(new, unique_indices=True)


def _as_output(given: tuple) -> Any:
    """What a block hands on that is off."""
    return given[0] if len(given) == 1 else given
