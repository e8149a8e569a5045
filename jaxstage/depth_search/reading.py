"""Reading an elastic network: the loss of its states on images, forward passes only, and what stages lose without their
added blocks (DESIGN.md, section 3.2).

    I_i = mean over the states of the other stages of [ L(stage i at its lower depth) - L(stage i at its upper depth) ]

with L the mean cross-entropy in nats. Both losses are of the same images, so the standard error of the difference is
much smaller than that of either.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxstage.data import Arrays, Normalization
from jaxstage.data.augment import Augmentation, augment, normalize
from jaxstage.data.batches import BATCH, one_pass
from jaxstage.depths import Depths, with_depth
from jaxstage.importance.interface import standard_error
from jaxstage.models import elastic
from jaxstage.train.loss import cross_entropy


class Reading(NamedTuple):
    """What was read of an elastic network.

    Attributes:
      states: depths, in the order of the rows below.
      losses: cross-entropy of each image in each state, nats, float64 (states, images).
      correct: whether it was classified rightly, bool (states, images).
    """

    states: tuple[Depths, ...]
    losses: np.ndarray
    correct: np.ndarray

    def and_of(self, other: "Reading") -> "Reading":
        """This one and another, of other states on the same images."""
        both = lambda mine, theirs: np.concatenate([mine, theirs])
        return Reading(self.states + other.states, both(self.losses, other.losses), both(self.correct, other.correct))

    def errors(self) -> np.ndarray:
        """Standard errors of what the states' mean losses differ by, (states,): of each against the mean of all.

        What all states have in common, that some images are hard for each of them, moves no choice between them.
        """
        return standard_error((self.losses - self.losses.mean(axis=0)).T)

    def importance(self) -> tuple[np.ndarray, np.ndarray]:
        """(I, its standard error) of each stage, float64 (stages,), over the pairs of which both states were read."""
        row = {state: number for number, state in enumerate(self.states)}
        lower, upper = (tuple(map(end, zip(*self.states))) for end in (min, max))
        differences = []
        for stage, (low, high) in enumerate(zip(lower, upper)):
            off = lambda state: with_depth(state, stage, low)
            pairs = [(row.get(off(state)), row[state]) for state in self.states if state[stage] == high]
            there = [self.losses[shallow] - self.losses[deep] for shallow, deep in pairs if shallow is not None]
            differences.append(np.mean(there, axis=0))
        return np.mean(differences, axis=1), standard_error(np.array(differences).T)


def read(
    module: nn.Module,
    variables: Any,
    states: Sequence[Depths],
    images: Arrays,
    calibration: Arrays,
    normalization: Normalization,
    lower: Depths | None = None,
) -> Reading:
    """Looks at images in every state, with BatchNorm statistics that are taken anew in each.

    One compilation: which state it is, is data. Costs a state's network a pass over `calibration` and one over
      `images`.

    Args:
      module: the elastic network, of the upper depths.
      variables: its params and batch_stats.
      states: depths to read.
      images: to be read on.
      calibration: whose statistics the states get; training images, see `as_trained`.
      normalization: of both.
      lower: depths below which nothing is off; None: the lowest of the states.
    """
    lower = lower or tuple(map(min, zip(*states)))
    look, measure = make_look(module, lower, normalization), make_measure(module, lower, normalization)
    momenta = _momenta(measure, variables, calibration, len(lower))
    losses, correct = [], []
    for state in states:
        depths = jnp.array(state, jnp.int32)
        anew = {**variables, "batch_stats": _mean_statistics(measure, variables, calibration, depths, momenta)}
        parts = [look(anew, *batch, depths) for batch in _batches(images)]
        losses.append(np.concatenate([part[0] for part in parts])[: images.size])
        correct.append(np.concatenate([part[1] for part in parts])[: images.size])
    return Reading(tuple(map(tuple, states)), np.array(losses, np.float64), np.array(correct))


def as_trained(images: Arrays, key: jax.Array, how: Augmentation, normalization: Normalization) -> Arrays:
    """Calibration images as training shows them.

    Weights have only met statistics with the black borders of random crops in them. With those of whole images a
    residual network read three points less accurate, and its deeper states no better than its shallow ones.

    Args:
      images: to be altered.
      key: of what is random.
      how, normalization: see `jaxstage.data.augment.augment`.
    """

    @jax.jit
    def alter(images, keys):
        shown, _ = augment(images, keys, how, normalization)
        return shown if shown.dtype == jnp.uint8 else jnp.round(shown).astype(jnp.uint8)

    return Arrays(alter(images.image, jax.random.split(key, images.size)), images.label)


def make_look(module: nn.Module, lower: Depths, normalization: Normalization) -> Callable:
    """Builds the compiled `look(variables, images, labels, depths) -> (losses, correct)`, each (n,)."""

    @jax.jit
    def look(variables, images, labels, depths):
        logits = elastic.apply(module, variables, normalize(images, normalization), depths, lower, train=False)
        return cross_entropy(logits, labels), logits.argmax(-1) == labels

    return look


def make_measure(module: nn.Module, lower: Depths, normalization: Normalization) -> Callable:
    """Builds the compiled `measure(variables, images, depths, fill) -> batch_stats`: what a pass in training mode makes
    of running averages that are all `fill`, momentum * fill + (1 - momentum) * statistics of these images.

    Of blocks that are off nothing is told.
    """

    @jax.jit
    def measure(variables, images, depths, fill):
        old = jax.tree.map(partial(jnp.full_like, fill_value=fill), variables["batch_stats"])
        options = dict(train=True, mutable=["batch_stats"])
        _, found = elastic.apply(
            module, {**variables, "batch_stats": old}, normalize(images, normalization), depths, lower, **options
        )
        return found["batch_stats"]

    return measure


def _momenta(measure: Callable, variables: Any, calibration: Arrays, stages: int) -> Any:
    """The momentum of every running average: what a pass over black images makes of 1, less what it makes of 0."""
    images, _ = next(_batches(calibration))
    black, all_on = jnp.zeros_like(images), jnp.full(stages, jnp.iinfo(jnp.int32).max)
    of_1, of_0 = (measure(variables, black, all_on, fill) for fill in (1.0, 0.0))
    return jax.tree.map(jnp.subtract, of_1, of_0)


def _mean_statistics(measure: Callable, variables: Any, calibration: Arrays, depths: jax.Array, momenta: Any) -> Any:
    parts = [measure(variables, images, depths, 0.0) for images, _ in _batches(calibration)]
    mean = lambda momentum, *leaves: sum(leaves) / len(leaves) / (1 - momentum)
    return jax.tree.map(mean, momenta, *parts)


def _batches(images: Arrays):
    """(images, labels) of one size, so that there is one compilation; the last ones are filled up from the beginning."""
    for index, _ in one_pass(images.size, min(BATCH, images.size)):
        yield images.take(index)
