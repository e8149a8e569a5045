"""One training step and one evaluation step, written for a global batch.

Both pick their examples out of arrays that live on the device. The same functions run under jit, where a batch is
global by itself, and under pmap, where `axis_name` says over what to average.
"""
from functools import partial
from typing import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxstage.data import Arrays, Normalization
from jaxstage.data.augment import crop_and_flip, normalize
from jaxstage.train.loss import cross_entropy
from jaxstage.train.state import TrainState


def make_train_step(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    normalization: Normalization,
    *,
    batch_size: int,
    crop_padding: int,
    flip: bool,
    label_smoothing: float,
    axis_name: str | None = None,
) -> Callable:
    """Builds `step(state, data, order, position, key) -> (state, metrics)`.

    The step's arguments:
      state: TrainState.
      data: Arrays on the device, the whole training set.
      order: int32 (n,), this epoch's permutation of the examples.
      position: int32, which places of the global batch this device computes; all of them under jit.
      key: key of the training; what is random in a step derives from it, the step's number and the place in the batch.

    metrics: loss (with label smoothing, without weight decay) and accuracy, means over the global batch.
    """
    average = partial(jax.lax.pmean, axis_name=axis_name) if axis_name else lambda tree: tree

    def step(state: TrainState, data: Arrays, order: jax.Array, position: jax.Array, key: jax.Array):
        start = state.step % (order.shape[0] // batch_size) * batch_size
        index = order[start + position]
        labels = data.label[index]
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, state.step)))(position)
        images = crop_and_flip(data.image[index], keys, crop_padding, flip)
        images = normalize(images, normalization)

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updates = module.apply(variables, images, train=True, mutable=["batch_stats"])
            return cross_entropy(logits, labels, label_smoothing).mean(), (logits, updates["batch_stats"])

        (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        accuracy = (logits.argmax(-1) == labels).mean(dtype=jnp.float32)
        grads, metrics = average((grads, {"loss": loss, "accuracy": accuracy}))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        state = TrainState(state.step + 1, optax.apply_updates(state.params, updates), batch_stats, opt_state)
        return state, metrics

    return step


def make_eval_step(module: nn.Module, normalization: Normalization) -> Callable:
    """Builds `step(variables, data, index, weight) -> sums`: loss and accuracy summed over the weighted examples.

    Arguments: data, Arrays on the device; index int32 (n,) into them; weight float32 (n,), 0 for padding.
    """

    def step(variables, data: Arrays, index: jax.Array, weight: jax.Array):
        logits = module.apply(variables, normalize(data.image[index], normalization), train=False)
        labels = data.label[index]
        correct = (logits.argmax(-1) == labels).astype(jnp.float32)
        return {"loss": cross_entropy(logits, labels) @ weight, "accuracy": correct @ weight}

    return step
