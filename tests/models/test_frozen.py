"""BatchNorms that stay as in evaluation, against flax's own evaluation."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxstage.models import resnet
from jaxstage.models.frozen import frozen_norms

IMAGES = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def network(request):
    module = resnet((2, 1), num_classes=4, widths=(4, 8), dtype=request.param)
    variables = module.init(jax.random.key(0), IMAGES)
    random = np.random.default_rng(1)
    draw = lambda leaf: (leaf + random.uniform(0.1, 1, leaf.shape)).astype(np.float32)
    return module, {"params": variables["params"], "batch_stats": jax.tree.map(draw, variables["batch_stats"])}


def in_training(module, variables, paths):
    with frozen_norms(paths):
        return module.apply(variables, IMAGES, train=True, mutable=["batch_stats"])


def test_with_all_of_them_training_computes_what_evaluation_does(network):
    module, variables = network
    paths = {path[:-1] for path in flatten_dict(variables["batch_stats"])}
    logits, updates = in_training(module, variables, paths)
    exact = module.dtype == "float32" or getattr(module, "dtype", None) == jax.numpy.float32
    np.testing.assert_allclose(logits, module.apply(variables, IMAGES), rtol=1e-4 if exact else 0.05, atol=0.05)
    jax.tree.map(np.testing.assert_array_equal, updates["batch_stats"], variables["batch_stats"])


def test_with_some_of_them_only_the_others_move(network):
    module, variables = network
    chosen = {("stem_norm",), ("stage1_block02", "norm1")}
    logits, updates = in_training(module, variables, chosen)
    new, old = flatten_dict(updates["batch_stats"]), flatten_dict(variables["batch_stats"])
    assert {path[:-1] for path in old if np.array_equal(new[path], old[path])} == chosen
    free, _ = in_training(module, variables, set())
    expected, _ = module.apply(variables, IMAGES, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(free, expected)
    assert not np.allclose(logits, free, atol=1e-3)


def test_scales_and_biases_have_gradients(network):
    module, variables = network
    loss = lambda params: (
        in_training(module, {**variables, "params": params}, {("stem_norm",)})[0].astype("float32").var()
    )
    gradient = jax.grad(loss)(variables["params"])["stem_norm"]
    assert all(np.any(np.asarray(leaf, np.float32)) for leaf in gradient.values())
