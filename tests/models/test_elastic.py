"""An elastic network in a state against the network of these depths with the same weights."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxstage.depths import between
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
        return jnp.tanh(
            nn.BatchNorm(use_running_average=not self.train, name="norm")(nn.Conv(4, (3, 3), name="conv")(x))
        )


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
    }


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
    traced = []

    @jax.jit
    def mixed(depths):
        traced.append(depths.shape)
        return elastic.apply(whole, variables, images, depths, lower, train=False)

    together = mixed(states)
    for row, state in enumerate(states):
        np.testing.assert_allclose(together[row], mixed(state)[row], rtol=1e-6)
    assert traced == [(4, 2), (2,)]  # states of all examples, and one for all: whatever they are


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
    with jax.disable_jit():  # compiled, the two may differ in the order of sums
        found = gradient(lambda v: elastic.apply(whole, v, images, jnp.array(state), lower, **options), variables)
        wanted = gradient(lambda v: alone.apply(v, images, **options), own)
    for name in found.keys() - wanted.keys():
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(found[name]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), part(found, wanted), wanted)


@st.composite
def deals(draw):
    batch_size = draw(st.sampled_from([4, 6, 8, 22, 32, 64, 96]))
    lower = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    upper = tuple(low + draw(st.integers(0, 3)) for low in lower)
    return list(between(lower, upper)), batch_size, draw(st.integers(1, 3)), draw(st.integers(0, 2**20))


@given(deals())
@settings(deadline=None, max_examples=30)
def test_depths_are_dealt_as_often_as_states_have_them(problem):
    states, batch_size, devices, seed = problem
    deck, position = elastic.make_deck(states, batch_size), jnp.arange(batch_size * devices)
    order = elastic.deal(deck, position, jax.random.key(seed))
    dealt = np.asarray(elastic.dealt_depths(order, deck)).reshape(-1, deck.cards, deck.size, len(states[0]))
    assert (dealt == dealt[:, :, :1]).all()  # a micro-batch has one state
    for stage in range(len(states[0])):
        possible, wanted = np.unique([state[stage] for state in states], return_counts=True)
        for part in dealt[:, :, 0, stage]:
            counts = np.array([(part == depth).sum() for depth in possible])
            assert counts.sum() == deck.cards and abs(counts - deck.cards * wanted / len(states)).max() < 2
            assert counts[-1] >= 1 and counts[0] >= 1
    for start in range(0, batch_size * devices, batch_size):  # each device finds the orders of its own decks
        alone = elastic.deal(deck, position[start : start + batch_size], jax.random.key(seed))
        first = start // (deck.cards * deck.size)
        np.testing.assert_array_equal(alone, order[:, first : first + alone.shape[1]])


@pytest.mark.parametrize(
    "batch_size, cards, size", [(2, 2, 1), (6, 6, 1), (22, 11, 2), (32, 4, 8), (64, 4, 16), (96, 6, 16), (1024, 8, 16)]
)
def test_a_batch_has_a_few_micro_batches_of_many_examples(batch_size, cards, size):
    deck = elastic.make_deck([(1,), (2,)], batch_size)
    assert (deck.cards, deck.size) == (cards, size)


@pytest.mark.parametrize("family", list(families(1)))
def test_in_evaluation_it_computes_what_was_dealt(family):
    lower, upper, examples = (2, 2), (4, 3), 8
    whole = families(2)[family](upper)
    variables = variables_of(whole, 3)
    images = jnp.asarray(np.random.default_rng(3).normal(size=(examples, SIZE, SIZE, 3)), jnp.float32)
    deck = elastic.make_deck(list(between(lower, upper)), examples)
    order = elastic.deal(deck, jnp.arange(examples), jax.random.key(0))
    found = elastic.apply_dealt(whole, variables, images, order, deck, train=False)
    wanted = elastic.apply(whole, variables, images, elastic.dealt_depths(order, deck), lower, train=False)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", list(families(1)))
def test_in_training_each_micro_batch_is_computed_as_by_the_network_of_its_depths_alone(family):
    build = families(2)[family]
    whole, deck = build((4, 3)), elastic.make_deck(list(between((2, 2), (4, 3))), 16)._replace(size=3)
    variables = variables_of(whole, 4)
    images = jnp.asarray(np.random.default_rng(4).normal(size=(deck.cards * 3, SIZE, SIZE, 3)), jnp.float32)
    order = elastic.deal(deck, jnp.arange(deck.cards * 3), jax.random.key(0))
    options = dict(train=True, mutable=["batch_stats"])
    logits, updates = elastic.apply_dealt(whole, variables, images, order, deck, **options)
    told = {}  # by the place of a statistic, what each network that has it makes of it
    for card, state in enumerate(np.asarray(elastic.dealt_depths(order, deck))[::3].tolist()):
        alone, mine = build(tuple(state)), slice(card * 3, card * 3 + 3)
        own = part(variables, variables_of(alone, 0))
        wanted, found = alone.apply(own, images[mine], **options)
        np.testing.assert_allclose(logits[mine], wanted, rtol=1e-3, atol=1e-4)
        for path, leaf in jax.tree_util.tree_leaves_with_path(found):
            told.setdefault(jax.tree_util.keystr(path), []).append(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(updates):
        np.testing.assert_allclose(leaf, np.mean(told[jax.tree_util.keystr(path)], axis=0), rtol=1e-3, atol=1e-4)


def test_where_all_have_the_same_depths_a_micro_batch_trains_as_the_network_alone():
    whole = families(2)["basic"]((2, 2))
    variables = variables_of(whole, 4)
    images = jnp.asarray(np.random.default_rng(4).normal(size=(8, SIZE, SIZE, 3)), jnp.float32)
    deck = elastic.Deck(lower=(1, 1), shares=((2,), (2,)), size=8)
    order = elastic.deal(deck, jnp.arange(8), jax.random.key(0))
    options = dict(train=True, mutable=["batch_stats"])
    found = elastic.apply_dealt(whole, variables, images, order, deck, **options)
    jax.tree.map(np.testing.assert_array_equal, found, whole.apply(variables, images, **options))


def test_what_is_off_costs_nothing():
    """Convolutions see only the examples that they are on for: half of a deepest block's, here."""
    whole = families(1)["basic"]((2,))
    variables, images = variables_of(whole, 5), jnp.zeros((8, SIZE, SIZE, 3))
    deck = elastic.make_deck([(1,), (2,)], 8)
    order = elastic.deal(deck, jnp.arange(8), jax.random.key(0))
    text = str(jax.make_jaxpr(lambda: elastic.apply_dealt(whole, variables, images, order, deck, train=False))())
    sizes = [int(size) for size in re.findall(r"f32\[(\d+),8,8,4\] = conv_general_dilated", text)]
    assert sorted(sizes) == [4, 4, 8, 8, 8]
    assert sorted(deck.states) == [(1,), (1,), (2,), (2,)]
