"""Importance by ablation: how much the loss rises when the last blocks of a stage are skipped.

    I = L(network whose stage skips its last `blocks` blocks) - L(network),   in nats

with L the mean cross-entropy over the calibration set, in evaluation mode. A skipped block hands on its input. The
first block of a stage changes resolution and width, so it is never skipped: a stage of one block scores 0.
"""
from functools import partial
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxstage.data import Arrays
from jaxstage.data.augment import normalize
from jaxstage.importance.interface import Scores, Trained
from jaxstage.models import parse_block
from jaxstage.train.loss import cross_entropy

BATCH = 512


def ablation(trained: Trained, key: jax.Array, *, blocks: int) -> Scores:
    """Scores every stage by the rise of the calibration loss; no noise, so no error and no use of `key`.

    Costs stages + 1 passes over the calibration set and one compilation: which stage skips is an argument.

    Args:
      trained: the candidate.
      key: unused.
      blocks: how many to skip, the growth step; fewer in a stage that is not deeper than that.
    """
    data, stages = trained.calibration, len(trained.depths)
    losses = jax.jit(make_losses(trained, blocks))
    batch = min(BATCH, data.size)
    sums = []
    for start in range(0, data.size, batch):
        index = np.arange(start, start + batch).clip(max=data.size - 1)  # one shape, one compilation
        parts = [losses(trained.variables, skip, data, index) for skip in np.eye(stages + 1, stages, dtype=bool)]
        sums.append(np.array(jax.device_get(parts), np.float64)[:, : data.size - start].sum(axis=1))
    means = np.sum(sums, axis=0) / data.size
    return Scores((tuple((means[:stages] - means[stages]).tolist()),))


def make_losses(trained: Trained, blocks: int) -> Callable:
    """Builds `losses(variables, skip, data, index)`: cross-entropy of each example; skip, bool (stages,), which skip."""
    skipped = [range(max(depth - blocks, 1), depth) for depth in trained.depths]

    def intercept(skip, call, args, kwargs, context):
        block = parse_block(context.module.name or "")
        output = call(*args, **kwargs)
        if context.method_name != "__call__" or block is None or block[1] not in skipped[block[0]]:
            return output
        return jnp.where(skip[block[0]], args[0], output)

    def losses(variables: Any, skip: jax.Array, data: Arrays, index: jax.Array):
        images = normalize(data.image[index], trained.normalization)
        with nn.intercept_methods(partial(intercept, skip)):
            logits = trained.module.apply(variables, images, train=False)
        return cross_entropy(logits, data.label[index])

    return losses
