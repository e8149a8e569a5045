"""Importance by weight perturbation: how much the loss rises when a stage's weights are shaken. No gradients.

For a stage with convolution and dense kernels w, filters f:

    d = sigma * |w_f| * e_f / sqrt(fan_in),   e ~ N(0, I)
    I = mean over K pairs of [ (L(w + d_k) + L(w - d_k)) / 2 - L(w) ]

with L the mean cross-entropy over a fixed calibration set, in evaluation mode. The antithetic pair cancels the
gradient's term, so what is left is the curvature along the draw. A block's draws depend on its name alone: the same
block is shaken the same way in every candidate.
"""
import zlib
from typing import Any, Callable

import jax
import numpy as np

from jaxstage.data.augment import normalize
from jaxstage.importance.interface import Scores, Trained
from jaxstage.models import parse_block
from jaxstage.random import derive
from jaxstage.train.loss import cross_entropy


def perturbation(trained: Trained, key: jax.Array, *, sigma: float, pairs: int) -> Scores:
    """Scores every stage by the rise of the calibration loss, in nats.

    Costs 2 * pairs * stages + 1 passes over the calibration set and one compilation: which stage is shaken, and to
    which side, is an argument of the compiled function. The passes are dispatched one after the other and fetched at
    the end. They are not batched by vmap, because per-copy weights turn every convolution into a grouped one, nor put
    in a device loop, because convolutions inside loops are slow on CPUs.

    Args:
      trained: the candidate.
      key: the same for all candidates of a search.
      sigma: size of the perturbation relative to each filter's norm.
      pairs: K, antithetic pairs.
    """
    key, stages = derive(key, "perturbation"), len(trained.depths)
    loss = jax.jit(make_perturbed_loss(trained))
    shaken = np.concatenate([np.eye(stages), -np.eye(stages)]).astype(np.float32) * np.float32(sigma)
    params, sums = jax.device_get(trained.variables["params"]), []
    everywhere = jax.tree.leaves(trained.variables)[0].sharding
    for pair in range(pairs):
        noise = jax.device_put(filter_noise(params, derive(key, pair)), everywhere)
        sums.append([loss(trained.variables, noise, scale, trained.calibration) for scale in shaken])
    base = loss(trained.variables, noise, np.zeros(stages, np.float32), trained.calibration)
    losses = np.array(jax.device_get(sums), np.float64).reshape(pairs, 2, stages)
    return Scores(tuple(map(tuple, (losses.mean(axis=1) - float(base)).tolist())))


def make_perturbed_loss(trained: Trained) -> Callable:
    """Builds `loss(variables, noise, scale, calibration)`: L with `scale[stage] * noise` added to each stage's kernels."""

    def loss(variables, noise, scale, calibration):
        def shake(path, weight, direction):
            block = parse_block(path[0].key)
            return weight if block is None else weight + scale[block[0]] * direction

        params = jax.tree_util.tree_map_with_path(shake, variables["params"], noise)
        images = normalize(calibration.image, trained.normalization)
        logits = trained.module.apply({**variables, "params": params}, images, train=False)
        return cross_entropy(logits, calibration.label).mean()

    return loss


def filter_noise(params: Any, key: jax.Array) -> Any:
    """A draw of |w_f| * e_f / sqrt(fan_in) for the kernels of all stages, 0 for everything else; like `params`.

    Drawn by NumPy: on the host it needs no compilation for every shape of kernel, and every kind of device gets the
    same noise.

    Args:
      params: kernels (..., fan-in, filters) and others, float32, on the host.
      key: of this pair; a kernel's draw depends on it and on the kernel's name.
    """
    seed = np.asarray(jax.random.key_data(key)).tolist()

    def draw(path, weight):
        names = [part.key for part in path]
        if parse_block(names[0]) is None or names[-1] != "kernel":
            return np.float32(0)
        normal = np.random.default_rng([*seed, zlib.crc32("/".join(names).encode())]).standard_normal
        norm = np.sqrt(np.sum(weight**2, axis=tuple(range(weight.ndim - 1)), keepdims=True))
        return norm * normal(weight.shape, np.float32) / np.float32(np.sqrt(np.prod(weight.shape[:-1])))

    return jax.tree_util.tree_map_with_path(draw, params)
