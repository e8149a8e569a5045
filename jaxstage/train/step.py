"""One training step and one evaluation step, written for a global batch.

Both take a batch of uint8 images. Where the examples live on the device, `gather_batch` picks the batch out of them in
the same program; where they are streamed, batches come from the host. The same functions run under jit, where a batch
is global by itself, and under pmap, where `axis_name` says over what to average.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxstage.data import Arrays, Normalization
from jaxstage.data.augment import Augmentation, augment, neighbours, normalize
from jaxstage.keys import derive
from jaxstage.models import HEAD, elastic
from jaxstage.models.frozen import frozen_norms
from jaxstage.train.loss import cross_entropy
from jaxstage.train.state import TrainState, move_average


class Batch(NamedTuple):
    """Examples of a step.

    Attributes:
      image: uint8 (n, height, width, channels).
      label: int32 (n,).
      position: int32 (n,), their places in the global batch.
      weight: float32 (n,), 0 for an example that does not count; None: all count.
    """

    image: jax.Array
    label: jax.Array
    position: jax.Array
    weight: jax.Array | None = None


def gather_batch(number: jax.Array, data: Arrays, order: jax.Array, position: jax.Array, batch_size: int) -> Batch:
    """A batch out of a training set on the device.

    Args:
      number: of the batch in its epoch.
      data: the whole set.
      order: int32 (n,), the epoch's order of the examples.
      position: int32, which places of the global batch this device computes; all of them under jit.
      batch_size: of the global batch.
    """
    index = order[number * batch_size + position]
    return Batch(data.image[index], data.label[index], position)


def of_dispatch(state: TrainState, metrics: dict) -> tuple[TrainState, dict]:
    """What a step gave as what a dispatch of one step gives: metrics of shape (1,)."""
    return state, jax.tree.map(lambda value: value[None], metrics)


class Recipe(NamedTuple):
    """What a training step does besides descending the gradient of the cross-entropy.

    Attributes:
      augmentation: of the images.
      label_smoothing: see `cross_entropy`; what is reported has it too.
      class_weights: float32 (classes,), factors of the loss by the true class; None: all alike.
      average: the decay of the average that the state keeps, see `move_average`; 0: it keeps none.
      head_only: nothing but the head gets a gradient, and BatchNorm stays as in evaluation.
      frozen: paths of BatchNorms that stay as in evaluation, see `frozen_norms`.
    """

    augmentation: Augmentation = Augmentation()
    label_smoothing: float = 0.0
    class_weights: np.ndarray | None = None
    average: float = 0.0
    head_only: bool = False
    frozen: frozenset[tuple[str, ...]] = frozenset()


def make_train_step(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    normalization: Normalization,
    recipe: Recipe = Recipe(),
    *,
    deck: elastic.Deck | None = None,
    axis_name: str | None = None,
) -> Callable:
    """Builds `step(state, batch, rate, key) -> (state, metrics)`.

    The step's arguments:
      state: TrainState.
      batch: Batch.
      rate: float32 scalar, the learning rate.
      key: key of the training; what is random in a step derives from it, the step's number and the place in the batch.

    metrics: loss (without weight decay) and accuracy, means over the global batch; of a mixed image the label that it
    has more of is the right one.

    With a `deck` the network is elastic: the deck deals a state to each micro-batch, see `jaxstage.models.elastic`.
    Images are mixed before that.
    """
    average = partial(jax.lax.pmean, axis_name=axis_name) if axis_name else lambda tree: tree
    mean = partial(_mean, average=average)
    update = optax.with_extra_args_support(optimizer).update
    forward = _forward(module, recipe, deck)

    def step(state: TrainState, batch: Batch, rate: jax.Array, key: jax.Array):
        key = jax.random.fold_in(key, state.step)
        keys = jax.vmap(partial(jax.random.fold_in, key))(batch.position)
        images, own = augment(batch.image, keys, recipe.augmentation, normalization, batch.weight)
        images = normalize(images, normalization)

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updates = forward(variables, images, batch.position, key)
            return mean(_losses(logits, batch.label, own, recipe), batch.weight), (logits, updates["batch_stats"])

        (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        accuracy = mean((logits.argmax(-1) == _more_of(batch.label, own)), batch.weight)
        grads, metrics = average((grads, {"loss": loss, "accuracy": accuracy}))
        updates, opt_state = update(grads, state.opt_state, state.params, step=state.step)
        updates = jax.tree.map(lambda update: -rate * update, updates)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state)
        return move_average(state, recipe.average) if recipe.average else state, metrics

    return step


def _forward(module: nn.Module, recipe: Recipe, deck: elastic.Deck | None) -> Callable:
    """Builds `forward(variables, images, position, key) -> (logits, updates)` of a training step."""
    options = dict(train=not recipe.head_only, mutable=["batch_stats"])

    def forward(variables, images: jax.Array, position: jax.Array, key: jax.Array):
        if recipe.head_only:
            still = lambda name, part: part if name == HEAD else jax.lax.stop_gradient(part)
            params = {name: still(name, part) for name, part in variables["params"].items()}
            variables = {**variables, "params": params}
        with frozen_norms(recipe.frozen) if recipe.frozen else contextlib.nullcontext():
            if deck is None:
                return module.apply(variables, images, **options)
            order = elastic.deal(deck, position, derive(key, "states"))
            return elastic.apply_dealt(module, variables, images, order, deck, **options)

    return forward


def _losses(logits: jax.Array, label: jax.Array, own: jax.Array | None, recipe: Recipe) -> jax.Array:
    """The loss of each image, float32 (n,); own, what share of it has this label, the rest has its neighbour's."""

    def by(label: jax.Array) -> jax.Array:
        losses = cross_entropy(logits, label, recipe.label_smoothing)
        return losses if recipe.class_weights is None else jnp.asarray(recipe.class_weights)[label] * losses

    return by(label) if own is None else own * by(label) + (1 - own) * by(neighbours(label))


def _more_of(label: jax.Array, own: jax.Array | None) -> jax.Array:
    return label if own is None else jnp.where(own >= 0.5, label, neighbours(label))


def _mean(values: jax.Array, weight: jax.Array | None, average: Callable) -> jax.Array:
    """This device's part of the mean over the global batch's examples that count; `average` makes it whole."""
    if weight is None:
        return values.mean(dtype=jnp.float32)
    return (values * weight).sum() / jnp.maximum(average(weight.sum()), 1)


def make_eval_step(module: nn.Module, normalization: Normalization, states: Sequence[tuple[int, ...]] = ()) -> Callable:
    """Builds `step(variables, batch) -> sums`: loss and accuracy summed over the batch's weighted examples.

    With `states` the network is elastic, and the states take turns.
    """
    lower = tuple(map(min, zip(*states)))

    def step(variables, batch: Batch):
        images = normalize(batch.image, normalization)
        if states:
            depths = elastic.take_turns(jnp.array(states, jnp.int32), batch.position)
            logits = elastic.apply(module, variables, images, depths, lower, train=False)
        else:
            logits = module.apply(variables, images, train=False)
        correct = (logits.argmax(-1) == batch.label).astype(jnp.float32)
        return {"loss": cross_entropy(logits, batch.label) @ batch.weight, "accuracy": correct @ batch.weight}

    return step
