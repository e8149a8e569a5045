"""One training step and one evaluation step, written for a global batch.

Both take a batch of uint8 images. Where the examples live on the device, `gather_batch` picks the batch out of them in
the same program; where they are streamed, batches come from the host. The same functions run under jit, where a batch
is global by itself, and under pmap, where `axis_name` says over what to average.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxstage.data import Arrays, Normalization
from jaxstage.data.augment import crop_and_flip, normalize
from jaxstage.keys import derive
from jaxstage.models import HEAD, elastic
from jaxstage.train.loss import cross_entropy
from jaxstage.train.state import TrainState


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


def make_train_step(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    normalization: Normalization,
    *,
    crop_padding: int,
    flip: bool,
    label_smoothing: float,
    head_only: bool = False,
    deck: elastic.Deck | None = None,
    axis_name: str | None = None,
) -> Callable:
    """Builds `step(state, batch, rate, key) -> (state, metrics)`.

    The step's arguments:
      state: TrainState.
      batch: Batch.
      rate: float32 scalar, the learning rate.
      key: key of the training; what is random in a step derives from it, the step's number and the place in the batch.

    metrics: loss (with label smoothing, without weight decay) and accuracy, means over the global batch.

    With `head_only` nothing but the head gets a gradient, and BatchNorm stays as in evaluation. With a `deck` the
    network is elastic: the deck deals a state to each micro-batch, see `jaxstage.models.elastic`.
    """
    average = partial(jax.lax.pmean, axis_name=axis_name) if axis_name else lambda tree: tree
    mean = partial(_mean, average=average)

    def forward(variables, images: jax.Array, position: jax.Array, key: jax.Array):
        options = dict(train=not head_only, mutable=["batch_stats"])
        if deck is None:
            return module.apply(variables, images, **options)
        order = elastic.deal(deck, position, derive(key, "states"))
        return elastic.apply_dealt(module, variables, images, order, deck, **options)

    def step(state: TrainState, batch: Batch, rate: jax.Array, key: jax.Array):
        key = jax.random.fold_in(key, state.step)
        keys = jax.vmap(partial(jax.random.fold_in, key))(batch.position)
        images = crop_and_flip(batch.image, keys, crop_padding, flip)
        images = normalize(images, normalization)

        def loss_of(params):
            if head_only:
                params = {name: part if name == HEAD else jax.lax.stop_gradient(part) for name, part in params.items()}
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updates = forward(variables, images, batch.position, key)
            loss = mean(cross_entropy(logits, batch.label, label_smoothing), batch.weight)
            return loss, (logits, updates["batch_stats"])

        (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        accuracy = mean((logits.argmax(-1) == batch.label), batch.weight)
        grads, metrics = average((grads, {"loss": loss, "accuracy": accuracy}))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda update: -rate * update, updates)
        state = TrainState(state.step + 1, optax.apply_updates(state.params, updates), batch_stats, opt_state)
        return state, metrics

    return step


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
