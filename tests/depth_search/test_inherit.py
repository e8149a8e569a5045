"""Inheritance, for networks of any shape."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxstage.depth_search.inherit import inherit
from jaxstage.models import RESIDUAL_NORM, resnet
from jaxstage.train.loss import cross_entropy
from jaxstage.train.state import init_state

OPTIMIZER = optax.sgd(0.1, momentum=0.9, nesterov=True)
IMAGES = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
LABELS = jnp.arange(4)


def build(depths, widths, block="basic"):
    return resnet(depths, num_classes=4, widths=widths, block=block)


def trained_state(module, seed=0):
    """A state in which nothing has its initial value any more."""
    state = init_state(module, OPTIMIZER, (8, 8, 3), jax.random.key(seed))
    leaves, structure = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [
        leaf + 0.1 * jnp.abs(jax.random.normal(key, leaf.shape))
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf + 5
        for leaf, key in zip(leaves, keys)
    ]
    return jax.tree.unflatten(structure, moved)


def grown(parent_depths, child_depths, widths, method, block="basic"):
    parent = trained_state(build(parent_depths, widths, block))
    child = init_state(build(child_depths, widths, block), OPTIMIZER, (8, 8, 3), jax.random.key(9))
    return parent, inherit(child, parent, method, jax.random.key(3))


@st.composite
def growths(draw):
    """(depths, widths, deeper depths) with any mask of stages and any step."""
    stages = draw(st.integers(1, 3))
    depths = tuple(draw(st.integers(1, 2)) for _ in range(stages))
    widths = tuple(draw(st.sampled_from([2, 3, 5])) for _ in range(stages))
    added = tuple(draw(st.sampled_from([0, 1, 2])) for _ in range(stages))
    return depths, widths, tuple(d + a for d, a in zip(depths, added))


@settings(max_examples=12, deadline=None)
@given(growths(), st.sampled_from(["basic", "bottleneck"]))
def test_identity_keeps_the_function(case, block):
    depths, widths, deeper = case
    parent, child = grown(depths, deeper, widths, "identity", block)
    shallow, deep = build(depths, widths, block), build(deeper, widths, block)
    before, after = shallow.apply(parent.variables, IMAGES), deep.apply(child.variables, IMAGES)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6 * float(jnp.abs(before).max()))

    def training_loss(module, state):
        logits, _ = module.apply(state.variables, IMAGES, train=True, mutable=["batch_stats"])
        return cross_entropy(logits, LABELS).mean()

    np.testing.assert_allclose(training_loss(deep, child), training_loss(shallow, parent), rtol=1e-6)


@settings(max_examples=12, deadline=None)
@given(growths(), st.sampled_from(["identity", "gauss", "copy"]))
def test_what_both_have_is_carried_over_and_the_rest_is_fresh(case, method):
    depths, widths, deeper = case
    parent, child = grown(depths, deeper, widths, method)
    trace, old_trace = child.opt_state[0].trace, parent.opt_state[0].trace
    for name in child.params:
        if name in parent.params:
            for new, old in ((child.params, parent.params), (trace, old_trace)):
                jax.tree.map(np.testing.assert_array_equal, new[name], old[name])
        else:
            assert not any(np.any(leaf) for leaf in jax.tree.leaves(trace[name]))
    for name in child.batch_stats.keys() & parent.batch_stats.keys():
        jax.tree.map(np.testing.assert_array_equal, child.batch_stats[name], parent.batch_stats[name])
    assert int(child.step) == 0


@settings(max_examples=8, deadline=None)
@given(growths())
def test_dropping_what_was_grown_restores_the_parent(case):
    depths, widths, deeper = case
    parent, probe = grown(depths, deeper, widths, "identity")
    back = inherit(init_state(build(depths, widths), OPTIMIZER, (8, 8, 3), jax.random.key(4)), probe, "identity", None)
    jax.tree.map(np.testing.assert_array_equal, back.variables, parent.variables)


def test_gauss_draws_small_scales_by_key():
    _, child = grown((1, 1), (3, 1), (4, 4), "gauss")
    scales = np.stack([child.params[f"stage1_block0{b}"][RESIDUAL_NORM]["scale"] for b in (2, 3)])
    assert 0 < np.abs(scales).max() < 0.5 and len(np.unique(scales)) == scales.size


def test_copy_repeats_the_last_block():
    parent, child = grown((2, 1), (4, 1), (4, 4), "copy")
    for name in ("stage1_block03", "stage1_block04"):
        jax.tree.map(np.testing.assert_array_equal, child.params[name], parent.params["stage1_block02"])
        jax.tree.map(np.testing.assert_array_equal, child.batch_stats[name], parent.batch_stats["stage1_block02"])


def test_scratch_takes_nothing():
    child = init_state(build((2,), (4,)), OPTIMIZER, (8, 8, 3), jax.random.key(9))
    assert inherit(child, trained_state(build((1,), (4,))), "scratch", None) is child


def test_networks_without_a_residual_norm_are_told_to_copy():
    parent, child = grown((1,), (2,), (4,), "scratch")
    del child.params["stage1_block02"][RESIDUAL_NORM]
    with pytest.raises(Exception, match="use copy or scratch"):
        inherit(child, parent, "identity", None)
