"""Reading an elastic network: its losses against those of the networks alone, its importance against a sum by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxstage.data import Arrays, Normalization
from jaxstage.depth_search import reading
from jaxstage.depth_search.reading import Reading, read
from jaxstage.depths import between
from jaxstage.models import resnet
from jaxstage.train.loss import cross_entropy

RANDOM = np.random.default_rng(0)
DATA = Arrays(RANDOM.integers(0, 256, (24, 8, 8, 3), np.uint8), RANDOM.integers(0, 3, 24).astype(np.int32))
NORMALIZATION = Normalization(np.float32(0.5), np.float32(0.25))
STATES = list(between((1, 1), (2, 3)))


def network(depths, momentum=0.9):
    return resnet(depths, num_classes=3, widths=(4, 6), bn_momentum=momentum)


@pytest.fixture(scope="module")
def variables():
    made = network((2, 3)).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)
    random = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf + 0.2 * random.random(leaf.shape), jnp.float32), made)


@pytest.mark.parametrize("momentum", [0.9, 0.99])
def test_losses_are_those_of_each_network_alone_with_the_statistics_of_the_calibration_images(variables, momentum):
    """In training mode a network normalises by the batch itself: with the same images the two must agree."""
    found = read(network((2, 3), momentum), variables, STATES, DATA, DATA, NORMALIZATION)
    assert found.losses.shape == found.correct.shape == (len(STATES), DATA.size)
    normalised = jnp.asarray((DATA.image / 255 - 0.5) / 0.25, jnp.float32)
    for state, losses, correct in zip(found.states, found.losses, found.correct):
        own = {"params": {}, "batch_stats": {}}
        shapes = jax.eval_shape(lambda: network(state).init(jax.random.key(0), normalised, train=False))
        for collection in own:
            own[collection] = {name: variables[collection][name] for name in shapes[collection]}
        logits, _ = network(state).apply(own, normalised, train=True, mutable=["batch_stats"])
        np.testing.assert_allclose(losses, cross_entropy(logits, DATA.label), rtol=2e-3, atol=2e-4)
        assert np.mean(correct == (logits.argmax(-1) == DATA.label)) > 0.95


def test_batches_do_not_matter_and_nothing_is_counted_twice(variables, monkeypatch):
    whole = read(network((2, 3)), variables, STATES[:1] + STATES[-1:], DATA, DATA, NORMALIZATION)
    monkeypatch.setattr(reading, "BATCH", 10)  # 24 images: two batches and a part
    parts = read(network((2, 3)), variables, STATES[:1] + STATES[-1:], DATA, DATA.take(np.arange(10)), NORMALIZATION)
    monkeypatch.setattr(reading, "BATCH", 24)
    same = read(network((2, 3)), variables, STATES[:1] + STATES[-1:], DATA, DATA.take(np.arange(10)), NORMALIZATION)
    np.testing.assert_allclose(parts.losses, same.losses, rtol=1e-4, atol=1e-5)
    assert whole.losses.shape == parts.losses.shape


def test_importance_is_the_mean_paired_difference_with_its_error():
    """Stage 0 gains 0.5 on every image but for noise of its own, stage 1 nothing; images differ by far more."""
    random, images = np.random.default_rng(2), 400
    hard = random.normal(0, 3, images)
    effect = random.normal(0.5, 0.1, images)
    losses = np.array([hard - effect * (first - 1) for first, _ in STATES])
    found = Reading(tuple(STATES), losses, losses < 0)
    scores, errors = found.importance()
    assert scores == pytest.approx([effect.mean(), 0.0], abs=1e-12)
    assert errors == pytest.approx([effect.std(ddof=1) / np.sqrt(images), 0.0], abs=1e-12)
    assert max(found.errors()) < 0.01  # what is hard for all states is no noise between them
