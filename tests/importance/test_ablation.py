"""Ablation against networks from which the blocks were really taken out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxstage.data import Arrays, Normalization
from jaxstage.data.augment import normalize
from jaxstage.importance import Trained, ablation
from jaxstage.models import resnet
from jaxstage.train.loss import cross_entropy

NORMALIZATION = Normalization(np.float32(0.5), np.float32(0.25))
DEPTHS = (3, 1, 2)


def build(depths):
    return resnet(depths, num_classes=3, widths=(4, 6, 8))


@pytest.fixture(scope="module")
def trained():
    size = 60
    images = np.random.default_rng(0).integers(0, 256, (size, 8, 8, 3)).astype(np.uint8)
    data = Arrays(jnp.array(images), jnp.arange(size, dtype=jnp.int32) % 3)
    variables = build(DEPTHS).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    return Trained("any", build(DEPTHS), variables, DEPTHS, data, NORMALIZATION)


def loss(trained, depths, share=slice(None)):
    """Of the network without the blocks that `depths` does not have."""
    module = build(depths)
    kept = module.init(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))
    variables = {kind: {name: trained.variables[kind][name] for name in kept[kind]} for kind in kept}
    logits = module.apply(variables, normalize(trained.calibration.image[share], NORMALIZATION))
    return float(cross_entropy(logits, trained.calibration.label[share]).mean())


@pytest.mark.parametrize(
    "added, without", [((1, 0, 1), [(2, 1, 2), DEPTHS, (3, 1, 1)]), (None, [(1, 1, 2), DEPTHS, (3, 1, 1)])]
)
def test_is_the_rise_of_the_loss_without_the_blocks(trained, added, without):
    scores = ablation(trained._replace(added=added), jax.random.key(0), shares=4)
    rises = [loss(trained, depths) - loss(trained, DEPTHS) for depths in without]
    np.testing.assert_allclose(scores.values, rises, atol=1e-5)
    assert scores.values[1] == 0 and abs(scores.values[0]) > 1e-3
    share = slice(2, None, 4)
    rises = [loss(trained, depths, share) - loss(trained, DEPTHS, share) for depths in without]
    np.testing.assert_allclose(scores.samples[2], rises, atol=1e-5)
