"""Keras files from elsewhere: whatever is in them, reading ends with arrays or one clear line, and takes little memory."""

import gzip
import json
import random

import damage
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxstage.errors import UserError
from jaxstage.interop import keras


def layer(name, kind, **config):
    return {"name": name, "class_name": kind, "config": config}


LAYERS = [
    layer("input_1", "InputLayer", batch_input_shape=[None, 32, 32, 3]),
    layer("Conv2D_", "Conv2D", filters=16),
    layer("BatchNorm1_", "BatchNormalization", epsilon=1e-3, momentum=0.99),
    layer("Conv2D_0_0_0_1", "Conv2D", filters=16),
    layer("BatchNorm1_0_0_0_1", "BatchNormalization", epsilon=1e-3, momentum=0.99),
    layer("dense_1", "Dense", units=10),
]


@pytest.fixture
def weights(tmp_path):
    """Makes an HDF5 file as Keras does, of {path of an array: array or how to put it there}."""

    def make(**arrays):
        path = tmp_path / "weights.h5"
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group = file.create_group(name)
                group.attrs["weight_names"] = [b"kernel:0"]
                array(group) if callable(array) else group.create_dataset("kernel:0", data=array)
        return path

    return make


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32).map(random.Random))
def test_a_description_is_read_or_refused(tmp_path_factory, draw):
    path = tmp_path_factory.mktemp("described") / "model.json"
    text = damage.of_text(draw, json.dumps({"config": {"layers": LAYERS}}))
    if draw.random() < 0.3:
        text = gzip.compress(text)
        text = damage.of_bytes(draw, text) if draw.random() < 0.7 else text
    path.write_bytes(text)
    layers = {"Conv2D_0_0_0_1": {"kernel": np.zeros((3, 3, 16, 16), np.float32)}}
    try:
        described = keras.read_architecture(path)
        keras._compare(layers, described, "w.h5", "a.json")
        keras.convert(layers, "w.h5", described)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 600


def test_a_description_that_unpacks_to_very_much_is_refused(tmp_path):
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * 2**26) * 8)
    with pytest.raises(UserError, match="not the architecture of a Keras model"):
        keras.read_architecture(path)


def to_another_file(link):
    def put(group):
        group["kernel:0"] = link

    return put


@pytest.mark.parametrize(
    "array, line",
    [
        (to_another_file(h5py.ExternalLink("/etc/hostname", "/x")), "is a link"),
        (to_another_file(h5py.SoftLink("/elsewhere")), "is a link"),
        (lambda group: group.create_dataset("kernel:0", (2,), "f4", external="/etc/hostname"), "no floats of its own"),
        (lambda group: group.create_dataset("kernel:0", (2,), h5py.string_dtype()), "no floats of its own"),
        (lambda group: group.create_dataset("kernel:0", (10**6, 10**6), "f4", chunks=(1, 64)), "unpack to 4,000,000"),
        (lambda group: group.create_group("kernel:0"), "has no attribute"),
        (lambda group: None, "is missing"),
    ],
)
def test_arrays_that_are_none_of_the_files_own_or_too_large(weights, array, line):
    with pytest.raises(UserError, match=line):
        keras.read_weights(weights(Conv2D_=array))


@pytest.mark.parametrize("name", ["Conv2D_99999999999_0_0_1", "Conv2D_0_99999999999_0_1", "x" * 10**4])
def test_names_that_stand_for_very_many_blocks(weights, name):
    with pytest.raises(UserError):
        keras.convert(keras.read_weights(weights(**{name: np.zeros((3, 3, 3, 16), np.float32)})), "w.h5")


def test_arrays_of_another_rank(weights):
    arrays = dict.fromkeys(("Conv2D_", "Conv2D_0_0_0_1", "dense_1"), np.zeros(3, np.float32))
    with pytest.raises(UserError, match="has shape|is missing"):
        keras.convert(keras.read_weights(weights(**arrays)), "w.h5")


def test_a_lambda_layer_is_not_run(tmp_path):
    code = layer("lambda", "Lambda", function=["4wEAAAAAAAAAAAAAAAEAAAA=", None, None], function_type="lambda")
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"config": {"layers": [*LAYERS, code]}}))
    assert keras.read_architecture(path)["lambda"]["class_name"] == "Lambda"  # its name is all that is made of it
