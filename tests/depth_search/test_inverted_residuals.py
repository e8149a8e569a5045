"""Inheritance, importance and a whole search of inverted-residual networks, as of the other residual ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import result_of

import jaxstage
from jaxstage import config as configs
from jaxstage import importance
from jaxstage.data import Arrays, Normalization
from jaxstage.depth_search.inherit import inherit
from jaxstage.models import RESIDUAL_NORM, mobilenet
from jaxstage.train.state import init_state

OPTIMIZER = optax.sgd(0.01, momentum=0.9)
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype(np.uint8)


def build(depths):
    return mobilenet(depths, num_classes=3, widths=(4, 6), stem_width=4, head_width=12)


def fresh(depths, seed=0):
    return init_state(build(depths), OPTIMIZER, (8, 8, 3), jax.random.key(seed))


def logits(depths, state, train):
    images = jnp.asarray(IMAGES, jnp.float32) / 255
    return build(depths).apply(state.variables, images, train=train, mutable=["batch_stats"])[0]


@pytest.mark.parametrize("train", [False, True])
def test_identity_is_exact(train):
    parent = fresh((1, 1))
    child = inherit(fresh((2, 2), seed=1), parent, "identity", jax.random.key(0))
    np.testing.assert_array_equal(logits((2, 2), child, train), logits((1, 1), parent, train))


def test_gauss_and_copy():
    parent, key = fresh((2, 1)), jax.random.key(0)
    scale = inherit(fresh((3, 1), seed=1), parent, "gauss", key).params["stage1_block03"][RESIDUAL_NORM]["scale"]
    assert 0 < np.abs(scale).max() < 0.5
    copied = inherit(fresh((3, 1), seed=1), parent, "copy", key).params["stage1_block03"]
    jax.tree.map(np.testing.assert_array_equal, copied, parent.params["stage1_block02"])


@pytest.mark.parametrize("method", configs.IMPORTANCES)
def test_importance(method):
    config = configs.default()
    config.importance.method, config.growth.step, depths = method, 1, (2, 1)
    data = Arrays(jnp.asarray(IMAGES), jnp.arange(len(IMAGES), dtype=jnp.int32) % 3)
    normalization = Normalization(np.float32(0.5), np.float32(0.25))
    trained = importance.Trained("any", build(depths), fresh(depths).variables, depths, data, normalization)
    scores = importance.method(config)(trained, jax.random.key(0))
    assert scores.values.shape == (2,) and np.isfinite(scores.values).all() and scores.values[0] != 0


def test_search_and_load(program, tiny_search, tmp_path):
    flags = [flag for flag in tiny_search if "depths" not in flag and "widths" not in flag]
    found = result_of(
        program(
            *flags,
            "--config.model.family=mobilenet",
            "--config.model.widths=(4,)",
            "--config.model.depths=(1,)",
            "--config.model.head_width=16",
            "--config.model.stem=auto",
            "--config.growth.max_depth=(2,)",
            "--config.importance.method=uniform",
            f"--workdir={tmp_path / 'run'}",
        )
    )
    assert found["depths"] == [2]
    module, variables, metadata = jaxstage.load(tmp_path / "run")
    assert metadata["model"]["stem"] == "cifar" and metadata["macs"] == found["macs"]
    assert jax.eval_shape(module.apply, variables, jnp.zeros((1, *metadata["input_shape"]))).shape == (1, 10)
    assert variables["params"]["head_conv"]["kernel"].shape == (1, 1, 4, 16)
