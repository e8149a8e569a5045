"""The state of a training run, and the optimizer that moves it."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct

from jaxstage.models import HEAD


class TrainState(struct.PyTreeNode):
    """Everything that a step changes; the same layout under jit and pmap.

    Attributes:
      step: int32 scalar, steps done.
      params, batch_stats: the module's collections, float32.
      opt_state: optax state.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict:
        """What is validated, read, tested and handed over."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class AveragedState(TrainState):
    """That of a training run which keeps an average over its steps, and hands that over.

    A candidate that inherits goes on from its parent's last step, as that one would have, and its average begins anew.

    Attributes:
      average: params and batch_stats, see `move_average`; before the first step it says nothing.
    """

    average: Any

    @property
    def variables(self) -> dict:
        return self.average


def move_average(state: AveragedState, decay: float) -> AveragedState:
    """With the newest parameters and batch statistics in the average, of which each step weighs `decay` of the next.

    The weights of all steps so far add up to 1, so that no initial value has a part in it: `optax.ema` with `debias`.
    """
    newest = {"params": state.params, "batch_stats": state.batch_stats}
    weight = (1 - decay) / -jnp.expm1(state.step * math.log(decay))
    return state.replace(average=optax.incremental_update(newest, state.average, weight))


def init_state(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    key: jax.Array,
    averaged: bool = False,
) -> TrainState:
    """A fresh state: parameters drawn from `key`, momentum zero; averaged, whether to keep an average over the steps."""
    # lazy_init draws the parameters and runs no forward pass, so there is no program to compile.
    variables = module.lazy_init(key, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32), train=False)
    fresh = dict(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(variables["params"]),
    )
    if averaged:
        average = {name: jax.tree.map(jnp.zeros_like, fresh[name]) for name in ("params", "batch_stats")}
        return AveragedState(**fresh, average=average)
    return TrainState(**fresh)


LEAST_WARMUP = 10  # steps


def make_schedule(training, learning_rate: float, steps_per_epoch: int, time_decay: float = 0.0) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then constant, cosine to 0, or steps.

    Args:
      training: the config's `candidate` or `final` part.
      learning_rate: the rate after the warm-up.
      steps_per_epoch: steps in one pass over the training data.
      time_decay: everything is divided by 1 + time_decay * step (`decay` of the optimizers of Keras 2).
    """
    planned = _planned_schedule(training, learning_rate, steps_per_epoch)
    return (lambda step: planned(step) / (1 + time_decay * step)) if time_decay else planned


def _planned_schedule(training, learning_rate: float, steps_per_epoch: int) -> optax.Schedule:
    steps = training.epochs * steps_per_epoch
    warmup = round(training.warmup_epochs * steps_per_epoch)
    if training.warmup_epochs:  # epochs of a small set are of a few steps, after which the full rate would diverge
        warmup = max(warmup, min(LEAST_WARMUP, steps // 4))
    if training.schedule == "cosine":
        after = optax.cosine_decay_schedule(learning_rate, max(steps - warmup, 1))
    elif training.schedule == "step":
        drops = {round(epoch * steps_per_epoch) - warmup: training.drop_factor for epoch in training.drop_epochs}
        after = optax.piecewise_constant_schedule(learning_rate, drops)
    else:
        after = optax.constant_schedule(learning_rate)
    if not warmup:
        return after
    rising = optax.linear_schedule(learning_rate / warmup, learning_rate, max(warmup - 1, 1))
    return optax.join_schedules([rising, after], [warmup])


def learning_rates(schedule: optax.Schedule, steps: int) -> np.ndarray:
    """The rate of each step of a training run, float32 (steps,)."""
    return np.asarray(
        jax.jit(jax.vmap(schedule))(np.arange(steps)), np.float32
    )  # compiled whole: one program, not many


class Hold(NamedTuple):
    """Parameters that stay as they are in the first steps.

    Attributes:
      held: bool, shaped like the parameters: which.
      steps: how many.
    """

    held: Any
    steps: int


def make_optimizer(config, rates: Any = None, hold: Hold | None = None) -> optax.GradientTransformation:
    """SGD with momentum, and L2 decay of convolution and dense kernels alone (not of BatchNorm and biases).

    Its updates are still to be multiplied by minus the learning rate. That comes into the step from outside, so that
    candidates of the same depths share one program, whatever their schedules.

    Args:
      config: the config's `optimizer` part.
      rates: factors of the learning rate, shaped like the parameters, or None; 0 keeps a parameter as it is.
      hold: what begins later, without momentum until then; `update` is then to be told the `step`.
    """
    mask = kernel_mask if config.decay_head else stage_kernel_mask
    holding = [_holding(hold)] if hold else []
    sgd = optax.chain(
        *holding,  # so that what is held has no part in the norm
        *([optax.clip_by_global_norm(config.clip)] if config.clip is not None else []),
        optax.add_decayed_weights(config.weight_decay, mask=mask),
        *holding,  # nor decays
        optax.trace(decay=config.momentum, nesterov=config.nesterov),
    )
    if rates is None:
        return sgd
    return optax.chain(sgd, optax.stateless(lambda updates, _: jax.tree.map(lambda u, rate: u * rate, updates, rates)))


def _holding(hold: Hold) -> optax.GradientTransformationExtraArgs:
    def update(updates, state, params=None, *, step, **_):
        early = step < hold.steps
        held = lambda update, is_held: jnp.where(early, 0, update) if is_held else update
        return jax.tree.map(held, updates, hold.held), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def kernel_mask(params) -> Any:
    """True where a leaf of `params` is the kernel of a convolution or a dense layer."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def stage_kernel_mask(params) -> Any:
    """The same without the head, the dense layer that makes the logits."""
    return {**kernel_mask(params), HEAD: jax.tree.map(lambda _: False, params[HEAD])}
