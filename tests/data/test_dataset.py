import numpy as np
import pytest

from jaxstage import config as configs
from jaxstage.data import input_shape, load_test, load_train, sources
from jaxstage.data.dataset import Arrays, divide_stratified, measure, open_split
from jaxstage.data.sources import open_source
from jaxstage.errors import UserError


def data_config(**changes):
    config = configs.default().data
    for key, value in changes.items():
        config[key] = value
    return config


def rows(arrays):
    return {image.tobytes() for image in arrays.image}


def test_train_validation_and_test_share_no_digit():
    dataset, test = load_train(data_config(), seed=3), load_test(data_config())
    parts = [dataset.train, dataset.validation, test]
    assert [part.size for part in parts] == [1293, 144, 360]
    assert dataset.train.image.dtype == np.uint8 and dataset.image_shape == (8, 8, 1)
    whole = set().union(*map(rows, parts))
    assert len(whole) == sum(len(rows(part)) for part in parts) == 1797


def test_the_cut_is_stratified_and_by_seed():
    first, again, other = (load_train(data_config(), seed=seed).validation for seed in (0, 0, 1))
    assert np.array_equal(first.image, again.image) and not np.array_equal(first.label, other.label)
    assert np.ptp(np.bincount(first.label)) <= 1


def test_the_test_split_does_not_depend_on_anything():
    assert np.array_equal(load_test(data_config()).image, load_test(data_config(examples=300)).image)


def test_a_tfds_set_works_by_its_name(toy_tfds):
    config = data_config(name="toy", dir=str(toy_tfds), validation=0.2)
    dataset, test = load_train(config, seed=0), load_test(config)
    assert dataset.class_names == ("red", "green", "blue")
    assert dataset.image_shape == (16, 16, 3) and (dataset.train.size, dataset.validation.size) == (72, 18)
    assert test.size == 30 and np.array_equal(test.image.mean((1, 2)).argmax(-1), test.label)


def test_normalization_is_numpys_mean_and_deviation():
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), np.uint8)
    channel, pixel = measure(images, "channel"), measure(images, "pixel")
    np.testing.assert_allclose(channel.mean, (images / 255).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(channel.std, (images / 255).std((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(pixel.mean, (images / 255).mean(0), rtol=1e-6)
    assert pixel.std == 1


def test_examples_limits_what_is_read():
    dataset = load_train(data_config(examples=200), seed=0)
    assert (dataset.train.size, dataset.validation.size) == (180, 20)


def test_only_the_chosen_examples_are_decoded_and_they_are_the_same(toy_tfds, monkeypatch):
    config, decoded = data_config(name="toy", dir=str(toy_tfds), validation=0.2), []
    all_of_it = open_split(config, open_source("toy", str(toy_tfds)), "train")
    decode = sources.whole
    monkeypatch.setattr(sources, "whole", lambda image, channels: decoded.append(image) or decode(image, channels))
    config.examples = 30
    dataset = load_train(config, seed=1)
    assert len(decoded) == 30
    train, validation = divide_stratified(divide_stratified(all_of_it, 30, seed=1)[1], 0.2, seed=1)
    for part, wanted in ((dataset.train, train), (dataset.validation, validation)):
        assert np.array_equal(part.image, wanted.image) and np.array_equal(part.label, wanted.label)


@pytest.mark.parametrize("changes, text", [({"examples": 5000}, "5000"), ({"validation": 1e-4}, "classes")])
def test_impossible_cuts_are_explained(changes, text):
    with pytest.raises(UserError, match=text):
        load_train(data_config(**changes), seed=0)


def test_a_stratified_division_keeps_image_and_label_together():
    arrays = Arrays(np.arange(40).reshape(40, 1), np.arange(40) % 4)
    for part in divide_stratified(arrays, 8, seed=0):
        assert np.array_equal(part.image[:, 0] % 4, part.label)


def test_images_of_one_size_need_not_be_square(tmp_path, monkeypatch):
    (tmp_path / "wide.py").write_text(
        "import numpy as np\n"
        "from jaxstage.data.sources import from_arrays\n"
        "def wide():\n"
        "    images = np.random.default_rng(0).integers(0, 256, (40, 12, 16, 3), np.uint8)\n"
        "    return from_arrays('ab', (images, np.arange(40) % 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for size in (None, (12, 16)):
        dataset = load_train(data_config(name="wide:wide", image_size=size), seed=0)
        assert isinstance(dataset.train, Arrays) and dataset.image_shape == (12, 16, 3)
    for size, shape in {8: (8, 8, 3), (6, 10): (6, 10, 3)}.items():
        config = data_config(name="wide:wide", image_size=size)
        dataset, test = load_train(config, seed=0), load_test(config)
        images, _ = test.read(report=lambda *_: None)
        assert dataset.image_shape == input_shape(config)[0] == shape and images.shape == (8, *shape)
