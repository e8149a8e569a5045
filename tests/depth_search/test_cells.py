"""Growth, inheritance, importance and a few steps for networks of cells, as for residual ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxstage.data import Arrays, Normalization
from jaxstage.depth_search.inherit import inherit
from jaxstage.errors import UserError
from jaxstage.importance import Trained, ablation, perturbation, pls_vip
from jaxstage.models import nasnet
from jaxstage.train.state import init_state
from jaxstage.train.step import Batch, make_train_step

OPTIMIZER = optax.trace(decay=0.9)
NORMALIZATION = Normalization(np.float32(0.5), np.float32(0.25))


def build(depths):
    return nasnet(depths, num_classes=3, widths=(8, 12))


def fresh(depths, seed=0):
    return init_state(build(depths), OPTIMIZER, (8, 8, 3), jax.random.key(seed))


def examples(n=24):
    images = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3)).astype(np.uint8)
    return Arrays(jnp.array(images), jnp.arange(n, dtype=jnp.int32) % 3)


def same(first, second):
    return jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), first, second))


def test_copy_repeats_the_last_cell_where_shapes_allow():
    parent, blank = fresh((2, 1)), fresh((3, 2), seed=1)
    child = inherit(blank, parent, "copy", jax.random.key(0))
    assert same(child.params["stage1_block03"]["left1"], parent.params["stage1_block02"]["left1"])
    assert same(child.params["stage1_block03"]["conv"], parent.params["stage1_block02"]["conv"])
    assert same(child.params["stage2_reduction"]["left1"], parent.params["stage2_reduction"]["left1"])
    # The first cell of a stage takes the reduction's four sums, the second a cell's six: other shapes, a fresh start.
    assert same(child.params["stage2_block02"]["left1"], parent.params["stage2_block01"]["left1"])
    assert same(child.params["stage2_block02"]["conv"], blank.params["stage2_block02"]["conv"])


@pytest.mark.parametrize("method", ["identity", "gauss"])
def test_cells_have_no_residual_branch(method):
    with pytest.raises(UserError, match="use copy or scratch"):
        inherit(fresh((2, 1), seed=1), fresh((1, 1)), method, jax.random.key(0))


def test_a_copy_can_be_trained():
    """The step gives up its state, so no two leaves may share a buffer."""
    state = inherit(fresh((3, 1), seed=1), fresh((2, 1)), "copy", jax.random.key(0))
    step = make_train_step(build((3, 1)), OPTIMIZER, NORMALIZATION)
    batch = Batch(*examples(8), jnp.arange(8))
    state, metrics = jax.jit(step, donate_argnums=0)(state, batch, 0.1, jax.random.key(0))
    assert np.isfinite(metrics["loss"])


@pytest.mark.parametrize(
    "method", [pls_vip, lambda *args: ablation(*args, shares=2), lambda *args: perturbation(*args, sigma=0.1, shares=2)]
)
def test_importance(method):
    depths = (2, 1)
    trained = Trained("cells", build(depths), fresh(depths).variables, depths, examples(), NORMALIZATION)
    scores = method(trained, jax.random.key(0))
    assert scores.values.shape == (2,) and np.isfinite(scores.values).all()
