"""PLS-VIP against the published values and against the definition written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from jaxstage.config import default
from jaxstage.data import Arrays, Normalization, load_test
from jaxstage.data.dataset import measure
from jaxstage.data.sources import TRAIN, open_source
from jaxstage.importance import Trained, pls_vip
from jaxstage.importance.pls_vip import BATCH, gather_features, mean_vip
from jaxstage.interop import keras
from jaxstage.models import build, resnet

# ../shared/official/README.md: mean PLS-VIP a stage on the JPEG copy of CIFAR-10's test split
PUBLISHED = {0: (0.91166, 0.92907, 0.91788)}


@pytest.fixture(scope="module")
def test_split(cifar10_dir):
    config = default().data
    config.name, config.dir = "cifar10", str(cifar10_dir)
    return load_test(config), measure(open_source("cifar10", cifar10_dir).read(TRAIN)[0], "pixel")


@pytest.mark.parametrize("iteration", PUBLISHED)
def test_published_values(iteration, official, test_split):
    split, mean_image = test_split
    path = official / f"residual_{iteration}.h5"
    model, variables, _ = keras.convert(keras.read_weights(path), path.name)
    depths = tuple(model["depths"])
    trained = Trained("published", build(model, depths, 10), variables, depths, split, mean_image)
    scores = pls_vip(trained, jax.random.key(0))
    np.testing.assert_allclose(scores.values, PUBLISHED[iteration], atol=1e-4)
    assert (scores.errors == 0).all()


def test_mean_vip_is_the_definition():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    features = rng.normal(0, 1, (60, 7)).astype(np.float32)
    features[:, 2] += labels
    targets = np.eye(3)[labels]
    pls = PLSRegression(n_components=2).fit(features, targets)
    vips = []
    for j in range(7):
        above = below = 0.0
        for a in range(2):
            t, w, q = pls.x_scores_[:, a], pls.x_weights_[:, a], pls.y_loadings_[:, a]
            explained = (t @ t) * (q @ q)
            above += explained * w[j] ** 2 / (w @ w)
            below += explained
        vips.append(np.sqrt(7 * above / below))
    assert max(vips) == vips[2]
    assert mean_vip(features.copy(), targets) == pytest.approx(np.mean(vips), rel=1e-6)


def test_features_are_pooled_sums_in_the_order_of_the_examples():
    """By a block whose ReLU is cut off by hand: features come before it, so some are negative."""
    depths, size = (1, 2), BATCH + 9
    module = resnet(depths, num_classes=3, widths=(2, 4))
    variables = module.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    images = np.random.default_rng(0).integers(0, 256, (size, 16, 16, 3)).astype(np.uint8)
    normalization = Normalization(np.float32(0.5), np.float32(0.25))
    data = Arrays(images, np.arange(size, dtype=np.int32) % 3)
    first, second = gather_features(Trained("any", module, variables, depths, data, normalization))
    assert first.shape == (size, 2 * 2 * 2) and second.shape == (size, 4)
    _, outputs = module.apply(variables, (images[-3:] / 255 - 0.5) / 0.25, capture_intermediates=True)
    block = lambda name: outputs["intermediates"][name]
    after_relu = np.asarray(block("stage2_block02")["__call__"][0])
    branch = block("stage2_block02")["residual_norm"]["__call__"][0]
    before_relu = np.asarray(block("stage2_block01")["__call__"][0] + branch)
    np.testing.assert_array_equal(np.maximum(before_relu, 0), after_relu)
    np.testing.assert_allclose(second[-3:], before_relu.mean((1, 2)), rtol=1e-4, atol=1e-5)
