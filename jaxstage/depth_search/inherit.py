"""Inheritance: building one candidate's weights out of another's.

Blocks are added and dropped at the end of a stage and named by their place, so what two candidates share has the same
name in both. The rest is how new blocks start.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxstage.errors import UserError
from jaxstage.keys import derive
from jaxstage.models import RESIDUAL_NORM, block_name, parse_block
from jaxstage.train import TrainState


def inherit(child: TrainState, parent: TrainState, method: str, key: jax.Array, gauss_scale: float = 0.1) -> TrainState:
    """Fills a freshly initialised candidate with what its parent has already learnt.

    Weights, batch statistics and momentum of every block that both have are the parent's; the parent's other blocks
    are dropped. A new block starts by `method`:

      identity: its last BatchNorm scale is 0, so it hands on x + 0 = x and the candidate computes its parent's
        function.
      gauss: that scale is drawn from N(0, gauss_scale^2).
      copy: the values of the parent's last block in that stage, where the shapes are the same.
      scratch: nothing is inherited at all; returns `child`.

    Args:
      child: state of the new candidate at step 0, as `init_state` makes it.
      parent: state of a trained candidate with the same stages and widths.
      method: identity, gauss, copy or scratch.
      key: for gauss.
      gauss_scale: deviation under gauss.

    Raises:
      UserError: identity or gauss for a network whose blocks are not residual.
    """
    if method == "scratch":
        return child
    new = sorted(set(child.params) - set(parent.params))
    params = _shared(child.params, parent.params)
    batch_stats = _shared(child.batch_stats, parent.batch_stats)
    for name in new:
        if method == "copy":
            last = _last_block(parent.params, stage=parse_block(name)[0])
            # Into buffers of their own: a step gives up its state, and no buffer can be given up twice.
            params[name] = jax.tree.map(jnp.copy, _shared(params[name], parent.params[last]))
            batch_stats[name] = jax.tree.map(jnp.copy, _shared(batch_stats[name], parent.batch_stats[last]))
        else:
            scale = jnp.zeros_like(_residual_scale(params, name))
            if method == "gauss":
                scale = gauss_scale * jax.random.normal(derive(key, "gauss", name), scale.shape)
            params[name] = {**params[name], RESIDUAL_NORM: {**params[name][RESIDUAL_NORM], "scale": scale}}
    return child.replace(
        params=params, batch_stats=batch_stats, opt_state=_shared_momentum(child.opt_state, parent.opt_state)
    )


def _shared(child: dict, parent: dict) -> dict:
    """`child`, with the parent's leaf wherever path and shape are the same."""
    merged = dict(child)
    for name in child.keys() & parent.keys():
        if isinstance(child[name], dict):
            merged[name] = _shared(child[name], parent[name])
        elif child[name].shape == parent[name].shape:
            merged[name] = parent[name]
    return merged


def _shared_momentum(child: Any, parent: Any) -> Any:
    """The same for an optax state, where dicts like `params` sit in tuples; step counts stay the child's."""
    if isinstance(child, dict):
        return _shared(child, parent)
    if isinstance(child, tuple):
        parts = [_shared_momentum(*pair) for pair in zip(child, parent)]
        return type(child)(*parts) if hasattr(child, "_fields") else tuple(parts)
    return child


def _last_block(params: dict, stage: int) -> str:
    blocks = [parse_block(name) for name in params]
    return block_name(stage, max(block[1] for block in blocks if block and block[0] == stage))


def _residual_scale(params: dict, name: str) -> jax.Array:
    if RESIDUAL_NORM not in params[name]:
        raise UserError(
            f"config.inherit.method: {name} has no residual branch that a BatchNorm ends; use copy or scratch"
        )
    return params[name][RESIDUAL_NORM]["scale"]
