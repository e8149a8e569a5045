"""An elastic network in a state against the network of these depths with the same weights."""
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxstage.depth_search.response import between
from jaxstage.models import block_name, elastic, mobilenet, nasnet, resnet

SIZE, CLASSES, EXAMPLES = 8, 3, 4


class Plain(nn.Module):
    """A family of somebody's own."""

    depths: tuple[int, ...]

    @nn.compact
    def __call__(self, x, train=False):
        for stage, depth in enumerate(self.depths):
            x = nn.Conv(4, (2, 2), strides=2, name=f"down{stage}")(x)
            for index in range(depth):
                x = Gated(train, name=block_name(stage, index))(x)
        return nn.Dense(CLASSES, name="head")(x.mean(axis=(1, 2)))


class Gated(nn.Module):
    """A block with no shortcut."""

    train: bool

    @nn.compact
    def __call__(self, x):
        return jnp.tanh(nn.BatchNorm(use_running_average=not self.train, name="norm")(nn.Conv(4, (3, 3), name="conv")(x)))


def families(stages: int):
    widths = (4, 6, 4)[:stages]
    return {
        "basic": lambda depths: resnet(depths, num_classes=CLASSES, widths=widths),
        "bottleneck": lambda depths: resnet(depths, num_classes=CLASSES, widths=widths, block="bottleneck"),
        "mobilenet": lambda depths: mobilenet(
            depths, num_classes=CLASSES, widths=widths, stem_width=4, head_width=8, expansion=2
        ),
        "nasnet": lambda depths: nasnet(depths, num_classes=CLASSES, widths=widths),
        "own": Plain,
    }  # fmt: skip


def variables_of(module, seed: int):
    """Random in every leaf: scales and statistics that are 1 and 0 would hide mistakes."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)), train=False))
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(random.uniform(0.5, 1.5, leaf.shape) * 0.5, leaf.dtype), shapes)


def part(of: dict, like: dict) -> dict:
    """The leaves of a network that a shallower one has, too."""
    return {name: part(of[name], leaf) if isinstance(leaf, dict) else of[name] for name, leaf in like.items()}


@st.composite
def problems(draw):
    stages = draw(st.integers(1, 2))
    family = draw(st.sampled_from(list(families(1))))
    first = 2 if family == "nasnet" else 1  # cells keep the shapes of both their inputs from the third on
    lower = tuple(draw(st.integers(first, first + 1)) for _ in range(stages))
    upper = tuple(low + draw(st.integers(0, 2)) for low in lower)
    state = tuple(draw(st.integers(low, high)) for low, high in zip(lower, upper))
    return family, lower, state, upper, draw(st.integers(0, 2**20))


@settings(max_examples=12, deadline=None)
@given(problems())
def test_in_a_state_it_computes_what_the_network_of_these_depths_computes(problem):
    family, lower, state, upper, seed = problem
    build = families(len(lower))[family]
    whole, alone = build(upper), build(state)
    variables = variables_of(whole, seed)
    own = part(variables, variables_of(alone, 0))
    images = jnp.asarray(np.random.default_rng(seed).normal(size=(EXAMPLES, SIZE, SIZE, 3)), jnp.float32)
    in_training = dict(train=True, mutable=["batch_stats"])
    for depths in (jnp.array(state), jnp.array([state] * EXAMPLES)):
        with jax.disable_jit():  # compiled, the two may differ in the order of sums
            logits = elastic.apply(whole, variables, images, depths, lower, train=False)
            np.testing.assert_array_equal(logits, alone.apply(own, images, train=False))
            logits, updates = elastic.apply(whole, variables, images, depths, lower, **in_training)
            wanted, wanted_updates = alone.apply(own, images, **in_training)
        np.testing.assert_array_equal(logits, wanted)
        jax.tree.map(np.testing.assert_array_equal, part(updates, wanted_updates), dict(wanted_updates))


@pytest.mark.parametrize("family", list(families(1)))
def test_every_example_has_a_state_of_its_own(family):
    lower = (2, 2)
    build = families(2)[family]
    whole = build((3, 4))
    variables = variables_of(whole, 1)
    images = jnp.asarray(np.random.default_rng(1).normal(size=(EXAMPLES, SIZE, SIZE, 3)), jnp.float32)
    states = jnp.array([(2, 2), (3, 4), (2, 3), (3, 2)])
    mixed = jax.jit(lambda depths: elastic.apply(whole, variables, images, depths, lower, train=False))
    together = mixed(states)
    for row, state in enumerate(states):
        np.testing.assert_allclose(together[row], mixed(state)[row], rtol=1e-6)
    assert mixed._cache_size() == 2  # states of all examples, and one for all: whatever they are


def test_what_is_off_gets_no_gradient_and_the_rest_gets_that_of_the_network_alone():
    build = families(2)["basic"]
    whole, alone, lower, state = build((3, 2)), build((2, 1)), (1, 1), (2, 1)
    variables = variables_of(whole, 2)
    own = part(variables, variables_of(alone, 0))
    images = jnp.asarray(np.random.default_rng(2).normal(size=(EXAMPLES, SIZE, SIZE, 3)), jnp.float32)

    def gradient(run, variables):
        loss = lambda params: (run({**variables, "params": params})[0] ** 2).sum()
        return jax.grad(loss)(variables["params"])

    options = dict(train=True, mutable=["batch_stats"])
    found = gradient(lambda v: elastic.apply(whole, v, images, jnp.array(state), lower, **options), variables)
    wanted = gradient(lambda v: alone.apply(v, images, **options), own)
    for name in found.keys() - wanted.keys():
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(found[name]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), part(found, wanted), wanted)


@st.composite
def deals(draw):
    group = draw(st.sampled_from([4, 8, 32]))
    lower = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    upper = tuple(low + draw(st.integers(0, 3)) for low in lower)
    return list(between(lower, upper)), group, draw(st.integers(1, 3)), draw(st.integers(0, 2**20))


@given(deals())
@settings(deadline=None, max_examples=30)
def test_depths_are_shared_out_as_often_as_states_have_them(problem):
    states, group, groups, seed = problem
    shares, position = elastic.share_out(states, group), jnp.arange(group * groups)
    order = elastic.deal(len(states[0]), position, group, jax.random.key(seed))
    dealt = np.asarray(elastic.dealt_depths(order, shares))
    for stage in range(len(states[0])):
        possible, wanted = np.unique([state[stage] for state in states], return_counts=True)
        for part in dealt[:, stage].reshape(groups, group):
            counts = np.array([(part == depth).sum() for depth in possible])
            assert counts.sum() == group and abs(counts - group * wanted / len(states)).max() < 2 and counts[-1] >= 1
    # Spread over devices, every group finds its own orders.
    for start in range(0, group * groups, group):
        alone = elastic.deal(len(states[0]), position[start : start + group], group, jax.random.key(seed))
        np.testing.assert_array_equal(alone[:, 0], order[:, start // group])


@pytest.mark.parametrize("family", list(families(1)))
def test_what_was_dealt_is_computed_as_if_each_example_were_alone(family):
    lower, upper, examples = (2, 2), (4, 3), 8
    whole = families(2)[family](upper)
    variables = variables_of(whole, 3)
    images = jnp.asarray(np.random.default_rng(3).normal(size=(examples, SIZE, SIZE, 3)), jnp.float32)
    shares = elastic.share_out(list(between(lower, upper)), 4)
    order = elastic.deal(2, jnp.arange(examples), 4, jax.random.key(0))
    found = elastic.apply_dealt(whole, variables, images, order, shares, lower, train=False)
    wanted = elastic.apply(whole, variables, images, elastic.dealt_depths(order, shares), lower, train=False)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_where_all_have_the_same_depths_the_dealt_network_trains_as_the_one_alone():
    whole = families(2)["basic"]((2, 2))
    variables = variables_of(whole, 4)
    images = jnp.asarray(np.random.default_rng(4).normal(size=(8, SIZE, SIZE, 3)), jnp.float32)
    shares, order = elastic.share_out([(2, 2)], 4), elastic.deal(2, jnp.arange(8), 4, jax.random.key(0))
    options = dict(train=True, mutable=["batch_stats"])
    found = elastic.apply_dealt(whole, variables, images, order, shares, (1, 1), **options)
    jax.tree.map(np.testing.assert_array_equal, found, whole.apply(variables, images, **options))


def test_what_is_off_costs_nothing():
    """Convolutions see only the examples that they are on for: half of a deepest block's, here."""
    whole = families(1)["basic"]((2,))
    variables, images = variables_of(whole, 5), jnp.zeros((8, SIZE, SIZE, 3))
    shares, order = elastic.share_out([(1,), (2,)], 8), elastic.deal(1, jnp.arange(8), 8, jax.random.key(0))
    text = str(jax.make_jaxpr(lambda: elastic.apply_dealt(whole, variables, images, order, shares, (1,), train=False))())
    sizes = [int(size) for size in re.findall(r"f32\[(\d+),8,8,4\] = conv_general_dilated", text)]
    assert sorted(sizes) == [4, 4, 8, 8, 8]
