"""The paper's importance: how much of the classes a stage's output explains, by partial least squares.

A stage's features are the output of its last block before the ReLU, average-pooled in windows of 8x8 (32x32 gives
4x4) and flattened. PLS with two components is fitted to the one-hot labels; with w_a the weights, t_a the scores and
q_a the label loadings of component a, and p features,

    VIP_j = sqrt( p * sum_a s_a * (w_ja / |w_a|)^2 / sum_a s_a ),   s_a = (t_a't_a) (q_a'q_a)

(Wold et al., "PLS-regression: a basic tool of chemometrics", 2001), and the score is the mean of VIP_j over j.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from jaxstage.data import Arrays
from jaxstage.data.augment import normalize
from jaxstage.data.batches import BATCH, one_pass
from jaxstage.importance.interface import Scores, Trained
from jaxstage.models import BLOCK_OUTPUT, block_name

POOL = 8
COMPONENTS = 2


def pls_vip(trained: Trained, key: jax.Array) -> Scores:
    """Scores every stage by the mean VIP of its features; no noise, so no error and no use of `key`.

    One pass over the calibration set in batches. The features stay on the host as float32: for 50,000 images 90 MB of
    residual modules of 16, 32 and 64 filters, 1.1 GB of cells of 32, 64 and 128. PLS works on float64 copies of one
    stage at a time, at most 2.5 GB more.
    """
    features = gather_features(trained)
    labels = np.asarray(trained.calibration.label)
    targets = np.eye(labels.max() + 1)[labels]
    return Scores((tuple(mean_vip(features.pop(0), targets) for _ in trained.depths),))


def gather_features(trained: Trained) -> list[np.ndarray]:
    """The features of each stage, float32 (examples, features)."""
    data = trained.calibration
    extract = jax.jit(make_extract(trained))
    gathered = []
    for index, new in one_pass(data.size, min(BATCH, data.size)):
        parts = jax.device_get(extract(trained.variables, data, index))
        if not gathered:
            gathered = [np.empty((data.size, part.shape[-1]), np.float32) for part in parts]
        for whole, part in zip(gathered, parts):
            whole[index[new]] = part[new]
    return gathered


def make_extract(trained: Trained) -> Callable:
    """Builds `extract(variables, data, index) -> [float32 (n, features) of each stage]`."""
    last_blocks = [block_name(stage, depth - 1) for stage, depth in enumerate(trained.depths)]

    def extract(variables: Any, data: Arrays, index: jax.Array):
        images = normalize(data.image[index], trained.normalization)
        _, sown = trained.module.apply(variables, images, train=False, mutable=["intermediates"])
        outputs = [sown["intermediates"][name][BLOCK_OUTPUT][0] for name in last_blocks]
        return [_pool(output).reshape(index.shape[0], -1).astype(np.float32) for output in outputs]

    return extract


def _pool(output: jax.Array) -> jax.Array:
    window = tuple(min(POOL, size) for size in output.shape[1:3])
    return nn.avg_pool(output, window, strides=window)


def mean_vip(features: np.ndarray, targets: np.ndarray) -> float:
    """Mean variable importance in projection of features (n, p) on targets (n, classes)."""
    from sklearn.cross_decomposition import PLSRegression

    pls = PLSRegression(n_components=COMPONENTS, copy=False).fit(features.astype(np.float64), targets.copy())
    explained = (pls.x_scores_**2).sum(axis=0) * (pls.y_loadings_**2).sum(axis=0)
    shares = (pls.x_weights_ / np.linalg.norm(pls.x_weights_, axis=0)) ** 2
    return float(np.sqrt(features.shape[1] * (shares @ explained) / explained.sum()).mean())
