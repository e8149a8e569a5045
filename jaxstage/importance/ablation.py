"""Importance by ablation: how much the loss rises when blocks of a stage are skipped.

    I = mean over K shares of [ L_k(network whose stage skips its blocks) - L_k(network) ],   in nats

with L_k the mean cross-entropy over share k of the calibration set, in evaluation mode. Skipped are all blocks of the
stage but the first, which changes resolution and width, or those that the probe added. A skipped block hands on its
input. A stage of one block scores 0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxstage.data import Arrays
from jaxstage.importance.interface import Scores, Trained, share_loss
from jaxstage.models import parse_block


def ablation(trained: Trained, key: jax.Array, *, shares: int) -> Scores:
    """Scores every stage by the rise of the calibration loss; `key` has no use.

    Costs stages + 1 passes over the calibration set and one compilation: which stage skips, and which share of
    the images is passed, are arguments.

    Args:
      trained: the candidate.
      key: unused.
      shares: K, equal shares of the calibration set, which are one sample of the scores each.
    """
    stages = len(trained.depths)
    loss = jax.jit(make_skipping_loss(trained, shares))
    skips = np.eye(stages + 1, stages, dtype=bool)
    losses = [
        [loss(trained.variables, skip, trained.calibration, number) for skip in skips] for number in range(shares)
    ]
    without, whole = np.split(np.array(jax.device_get(losses), np.float64), [stages], axis=1)
    return Scores(tuple(map(tuple, (without - whole).tolist())))


def make_skipping_loss(trained: Trained, shares: int) -> Callable:
    """Builds `loss(variables, skip, calibration, number)`: mean loss over a share; skip, bool (stages,), which skip."""

    def intercept(skip, call, args, kwargs, context):
        block = parse_block(context.module.name or "")
        output = call(*args, **kwargs)
        if context.method_name != "__call__" or block is None:
            return output
        stage, place = block
        if place == 0 or place not in trained.scored[stage]:
            return output
        if isinstance(output, tuple):  # a cell, which hands on what came before it besides
            return (jnp.where(skip[stage], args[0], output[0]), *output[1:])
        return jnp.where(skip[stage], args[0], output)

    def loss(variables: Any, skip: jax.Array, calibration: Arrays, number: jax.Array):
        with nn.intercept_methods(partial(intercept, skip)):
            return share_loss(trained, variables, calibration, shares, number)

    return loss
