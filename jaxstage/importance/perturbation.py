"""Importance by weight perturbation: how much the loss rises when a stage's weights are shaken. No gradients.

For the convolution and dense kernels w of a stage, or of those of its blocks that the probe added, filters f:

    d = sigma * |w_f| * e_f / sqrt(fan_in),   e ~ N(0, I)
    I = mean over K shares of [ (L_k(w + d_k) + L_k(w - d_k)) / 2 - L_k(w) ]

with L_k the mean cross-entropy over share k of a fixed calibration set, in evaluation mode. The antithetic pair cancels
the gradient's term, so what is left is the curvature along the draw. Every share has a draw of its own, so the spread
over the shares is that of draws and images. A block's draws depend on its name alone: the same block is shaken the same
way, and judged on the same images, in every candidate.
"""

import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxstage.importance.interface import Scores, Trained, share_loss
from jaxstage.keys import derive
from jaxstage.models import parse_block


def perturbation(trained: Trained, key: jax.Array, *, sigma: float, shares: int) -> Scores:
    """Scores every stage by the rise of the calibration loss, in nats.

    Costs 2 * stages + 1 passes over the calibration set, whatever the number of shares, and one compilation: which
    stage is shaken, to which side, and which share of the images is passed are arguments of the compiled function. The
    passes, a share each, are dispatched one after the other and fetched at the end. They are not batched by vmap,
    because per-copy weights turn every convolution into a grouped one, nor put in a device loop, because convolutions
    inside loops are slow on CPUs.

    Args:
      trained: the candidate.
      key: the same for all candidates of a search.
      sigma: size of the perturbation relative to each filter's norm.
      shares: K, equal shares of the calibration set, which are one sample of the scores each.
    """
    key, stages = derive(key, "perturbation"), len(trained.depths)
    loss = jax.jit(make_perturbed_loss(trained, shares))
    up, down, rest = np.eye(stages), -np.eye(stages), np.zeros((1, stages))
    scales = np.concatenate([up, down, rest]).astype(np.float32) * np.float32(sigma)
    params, losses = jax.device_get(trained.variables["params"]), []
    everywhere = jax.tree.leaves(trained.variables)[0].sharding
    for number in range(shares):
        noise = jax.device_put(filter_noise(params, derive(key, number), trained.scored), everywhere)
        losses.append([loss(trained.variables, noise, scale, trained.calibration, number) for scale in scales])
    up, down, rest = np.split(np.array(jax.device_get(losses), np.float64), [stages, 2 * stages], axis=1)
    return Scores(tuple(map(tuple, ((up + down) / 2 - rest).tolist())))


def make_perturbed_loss(trained: Trained, shares: int) -> Callable:
    """Builds `loss(variables, noise, scale, calibration, number)`.

    It is the mean loss over share `number`, with `scale[stage] * noise` added to each stage's kernels.
    """

    def loss(variables, noise, scale, calibration, number):
        def shake(path, weight, direction):
            block = parse_block(path[0].key)
            return weight if block is None else weight + scale[block[0]] * direction

        params = jax.tree_util.tree_map_with_path(shake, variables["params"], noise)
        return share_loss(trained, {**variables, "params": params}, calibration, shares, number)

    return loss


def filter_noise(params: Any, key: jax.Array, blocks: tuple[range, ...]) -> Any:
    """A draw of |w_f| * e_f / sqrt(fan_in) for the kernels of `blocks`, 0 for everything else; like `params`.

    Drawn by NumPy: on the host it needs no compilation for every shape of kernel, and every kind of device gets the
    same noise.

    Args:
      params: kernels (..., fan-in, filters) and others, float32, on the host.
      key: of this share; a kernel's draw depends on it and on the kernel's name.
      blocks: which of each stage.
    """
    seed = np.asarray(jax.random.key_data(key)).tolist()

    def draw(path, weight):
        names = [part.key for part in path]
        place = parse_block(names[0])
        if place is None or place[1] not in blocks[place[0]] or names[-1] != "kernel":
            return np.float32(0)
        normal = np.random.default_rng([*seed, zlib.crc32("/".join(names).encode())]).standard_normal
        norm = np.sqrt(np.sum(weight**2, axis=tuple(range(weight.ndim - 1)), keepdims=True))
        return norm * normal(weight.shape, np.float32) / np.float32(np.sqrt(np.prod(weight.shape[:-1])))

    return jax.tree_util.tree_map_with_path(draw, params)
