"""Import of the authors' Keras files, against the figures that they and an independent program give for them."""

import json
import shutil

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds

import jaxstage
from jaxstage.data.dataset import measure
from jaxstage.data.sources import TRAIN, open_source
from jaxstage.errors import UserError
from jaxstage.interop import keras

# iteration: depths, parameters, trainable parameters, MACs (../shared/official/README.md)
PUBLISHED = {
    0: ((6, 8, 6), 605_610, 602_634, 92_717_696),
    1: ((8, 10, 6), 652_650, 649_290, 111_592_064),
    3: ((10, 12, 8), 848_426, 844_170, 139_903_616),
}


@pytest.fixture(scope="module")
def mean_image(cifar10_dir):
    return measure(open_source("cifar10", cifar10_dir).read(TRAIN)[0], "pixel")


@pytest.fixture
def import_network(monkeypatch, mean_image, cifar10_dir, tmp_path):
    """`keras.import_network` that does not read the 50,000 training images again."""
    monkeypatch.setattr(keras, "measure", lambda images, kind: mean_image)
    opened = open_source("cifar10", cifar10_dir)._replace(read=lambda split: (None, None))
    monkeypatch.setattr(keras, "open_source", lambda name, data_dir: opened)
    return lambda weights, architecture=None: keras.import_network(
        str(weights), architecture and str(architecture), str(tmp_path / "run"), "cifar10", cifar10_dir
    )


@pytest.fixture(scope="module")
def listed(official, cifar10_dir):
    """The test images that the published logits are about, by id."""
    wanted = json.loads((official / "residual_0_logits.json").read_text())
    source = tfds.data_source("cifar10", split="test", data_dir=cifar10_dir)
    decode = lambda key: key.decode() if isinstance(key, bytes) else key
    images = {decode(example["id"]): example["image"] for example in source}
    return {key: images[key] for key in wanted}


@pytest.mark.parametrize("iteration", PUBLISHED)
@pytest.mark.parametrize("with_architecture", [False, True])
def test_published_network(iteration, with_architecture, official, import_network, listed, tmp_path):
    depths, parameters, trainable, macs = PUBLISHED[iteration]
    architecture = official / f"residual_{iteration}.json.gz" if with_architecture else None
    told = import_network(official / f"residual_{iteration}.h5", architecture)
    assert told["depths"] == list(depths)
    assert (told["parameters"], told["trainable_parameters"], told["macs"]) == (parameters, trainable, macs)
    module, variables, metadata = jaxstage.load(tmp_path / "run")
    images = jnp.array(np.stack(list(listed.values())))
    logits = module.apply(variables, (images / 255 - metadata["mean"]) / metadata["std"])
    wanted = json.loads((official / f"residual_{iteration}_logits.json").read_text())
    np.testing.assert_allclose(logits, [wanted[key] for key in listed], atol=1e-3)


def test_by_save_as_by_save_weights(official, import_network, tmp_path):
    """`model.save` puts the same groups into `model_weights`."""
    with h5py.File(official / "residual_0.h5") as old, h5py.File(tmp_path / "saved.h5", "w") as new:
        old.copy(old["/"], new, "model_weights")
    assert import_network(tmp_path / "saved.h5")["depths"] == [6, 8, 6]


def damage(official, tmp_path, change):
    path = tmp_path / "damaged.h5"
    shutil.copyfile(official / "residual_0.h5", path)
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def forget(file, gone):
    """Removes a layer and all mention of it."""
    del file[gone]
    file.attrs["layer_names"] = [name for name in file.attrs["layer_names"] if name.decode() != gone]


def remove(file, gone):
    del file[gone]


def narrow(file, layer):
    weights = file[layer][layer]
    array = weights["kernel:0"][()]
    del weights["kernel:0"]
    weights["kernel:0"] = array[..., :8]


@pytest.mark.parametrize(
    "layer", ["Conv2D_", "Conv2D_0_3_0_1", "Conv2D_1_0_0_3", "Conv2D_2_5_0_1", "BatchNorm1_2_5_0_2", "dense_1"]
)
@pytest.mark.parametrize("change", [forget, remove])
def test_missing_layer(layer, change, official, tmp_path, import_network):
    path = damage(official, tmp_path, lambda file: change(file, layer))
    canonical = keras.canonical(layer)
    with pytest.raises(UserError) as caught:
        import_network(path)
    assert "is incomplete" in str(caught.value) and "missing" in str(caught.value)
    assert repr(layer) in str(caught.value) or repr(canonical) in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_missing_weight(official, tmp_path, import_network):
    path = damage(official, tmp_path, lambda file: remove(file, "Conv2D_0_3_0_1/Conv2D_0_3_0_1/bias:0"))
    with pytest.raises(UserError, match="is incomplete"):
        import_network(path)


def test_other_shape(official, tmp_path, import_network):
    path = damage(official, tmp_path, lambda file: narrow(file, "Conv2D_0_3_0_1"))
    with pytest.raises(UserError, match=r"another architecture: .*\(3, 3, 16, 8\)"):
        import_network(path)


@pytest.mark.parametrize("architecture", ["residual_1.json.gz", "cell_0.json.gz"])
def test_weights_of_another_architecture(architecture, official, import_network):
    with pytest.raises(UserError, match="another architecture: a resnet of depths"):
        import_network(official / "residual_0.h5", official / architecture)


def test_not_one_of_these(official, tmp_path, import_network):
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1"]
        file.create_group("block1_conv1").attrs["weight_names"] = []
    with open(tmp_path / "cut.h5", "wb") as file:
        file.write((official / "residual_0.h5").read_bytes()[:100_000])
    for path, message in {
        official / "README.md": "not an HDF5 file",
        tmp_path / "cut.h5": "not an HDF5 file, or damaged",
        tmp_path / "nothing.h5": "there is no file",
        tmp_path / "empty.h5": "no Keras weights",
        tmp_path / "vgg.h5": "no network of the stage-wise search",
    }.items():
        with pytest.raises(UserError, match=message):
            import_network(path)
    with pytest.raises(UserError, match="not the architecture of a Keras model"):
        import_network(official / "residual_0.h5", official / "README.md")


def test_work_directory_that_is_taken(official, import_network):
    import_network(official / "residual_0.h5")
    with pytest.raises(UserError, match="holds a network already"):
        import_network(official / "residual_1.h5")
