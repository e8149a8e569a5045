"""NASNet-A cells against the published architectures: counts, connections, and one forward pass of random weights."""

import connections
import h5py
import jax
import jax.numpy as jnp
import keras_graph
import numpy as np
import pytest

from jaxstage import cost
from jaxstage.errors import UserError
from jaxstage.interop import keras
from jaxstage.models import build, nasnet

# iteration: depths, parameters, trainable parameters, MACs without and of separable convolutions (official/README.md)
PUBLISHED = {
    0: ((2, 3, 2), 1_384_554, 1_367_722, 106_798_592, 122_273_792),
    1: ((3, 3, 2), 1_413_546, 1_395_946, 119_381_504, 137_805_824),
    2: ((3, 4, 2), 1_516_586, 1_497_450, 131_964_416, 150_814_720),
    3: ((4, 4, 3), 1_931_882, 1_908_906, 157_130_240, 178_094_080),
}


@pytest.mark.parametrize("iteration", PUBLISHED)
def test_counts(iteration):
    depths, *wanted = PUBLISHED[iteration]
    counted = cost.count(nasnet(depths, num_classes=10))
    conv_dense = counted.macs - counted.separable_macs
    assert [counted.parameters, counted.trainable_parameters, conv_dense, counted.separable_macs] == wanted


@pytest.mark.parametrize("iteration", PUBLISHED)
def test_connections(iteration, official):
    depths = PUBLISHED[iteration][0]
    wanted = connections.of_keras(keras_graph.read(official / f"cell_{iteration}.json.gz"))
    found = connections.of_module(nasnet(depths, num_classes=10), "nasnet", depths, (32, 32, 3))
    assert found.keys() == wanted.keys()
    for layer in wanted:
        assert found[layer] == wanted[layer], layer


@pytest.fixture
def cell_0(official, tmp_path):
    """A weights file of random numbers in the format of Keras 2, for the architecture cell_0."""
    layers = keras_graph.read(official / "cell_0.json.gz")
    weights = keras_graph.random_weights(layers, seed=0)
    with h5py.File(tmp_path / "cell_0.h5", "w") as file:
        file.attrs["layer_names"] = [layer["name"].encode() for layer in layers]
        for layer in layers:
            group, arrays = file.create_group(layer["name"]), weights.get(layer["name"], {})
            group.attrs["weight_names"] = [f"{layer['name']}/{name}:0".encode() for name in arrays]
            for name, array in arrays.items():
                group[f"{layer['name']}/{name}:0"] = array
    return layers, weights, tmp_path / "cell_0.h5"


def test_forward_pass(cell_0, official):
    layers, weights, path = cell_0
    described = keras.read_architecture(official / "cell_0.json.gz")
    model, variables, image_shape = keras.convert(keras.read_weights(path), path.name, described)
    assert (tuple(model["depths"]), model["widths"], image_shape) == ((2, 3, 2), [32, 64, 128], (32, 32, 3))
    module = build(model, tuple(model["depths"]), 10)
    images = np.random.default_rng(1).normal(0, 0.25, (4, 32, 32, 3)).astype(np.float32)
    wanted = keras_graph.compute(layers, weights, images)
    assert np.abs(wanted).max() > 0.1
    found = jax.jit(module.apply)(variables, images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_missing_layer(cell_0):
    layers, weights, path = cell_0
    for gone in ("normal_conv_1_7", "separable_conv_2_bn_reduction_1_reduce_5", "adjust_conv_2_3", "predictions"):
        without = {name: arrays for name, arrays in keras.read_weights(path).items() if name != gone}
        with pytest.raises(UserError, match=f"is incomplete, .*{gone}"):
            keras.convert(without, path.name)


@pytest.mark.parametrize(
    "depths, widths, stem, size", [((1, 2), (8, 12), "cifar", 15), ((1, 1, 1, 1), (8, 10, 12, 14), "imagenet", 65)]
)
def test_any_stages(depths, widths, stem, size):
    module = nasnet(depths, num_classes=5, widths=widths, stem=stem)
    images = jnp.zeros((2, size, size, 3))
    logits, _ = jax.eval_shape(lambda x: module.init_with_output(jax.random.key(0), x, train=False), images)
    assert logits.shape == (2, 5)
