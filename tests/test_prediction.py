"""Pictures in, class names with probabilities out: the same as evaluation says, for any size and kind of picture."""

import itertools

import jax
import numpy as np
import PIL.Image
import pytest

import jaxstage
from jaxstage import config as configs
from jaxstage.data import load_test
from jaxstage.data.decode import decode
from jaxstage.data.pictures import fitting_box
from jaxstage.data.prepare import prepare_folder
from jaxstage.errors import UserError
from jaxstage.evaluate import evaluate


@pytest.fixture(scope="module")
def network(digits_run):
    return jaxstage.load(digits_run)


@pytest.fixture(scope="module")
def test_split():
    return load_test(configs.load("digits").data)


def test_accuracy_is_that_of_the_run(network, test_split):
    found = jaxstage.predict(network, test_split.image)
    right = [prediction.label == network.class_names[label] for prediction, label in zip(found, test_split.label)]
    assert np.mean(right) == pytest.approx(network.metadata["test_accuracy"])


def test_probabilities_are_the_softmax_of_the_logits_most_probable_first(network, test_split):
    module, variables, metadata = network
    images = test_split.image[:5]
    wanted = jax.nn.softmax(module.apply(variables, (images / 255 - metadata["mean"]) / metadata["std"]))
    for prediction, row in zip(jaxstage.predict(network, images), np.asarray(wanted)):
        assert list(prediction.probabilities.values()) == sorted(prediction.probabilities.values(), reverse=True)
        assert (
            prediction.probability
            == prediction.probabilities[prediction.label]
            == max(prediction.probabilities.values())
        )
        np.testing.assert_allclose([prediction.probabilities[name] for name in network.class_names], row, atol=1e-5)


def test_batches_do_not_matter(network, test_split):
    images = test_split.image[:7]
    whole = jaxstage.predict(network, images)
    for size in (1, 3, 4):
        for one, other in zip(whole, jaxstage.predict(network, images, batch_size=size)):
            assert one.label == other.label and one.probability == pytest.approx(other.probability, abs=1e-5)


def test_a_second_call_compiles_nothing(network, test_split):
    jaxstage.predict(network, test_split.image[:4])
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(network.module), "__call__", lambda *_, **__: pytest.fail("traces again"))
        jaxstage.predict(network, test_split.image[:3])


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_files_pixels_and_work_directories_agree(network, digits_run, test_split, tmp_path, suffix):
    paths = []
    for number, pixels in enumerate(test_split.image[:3]):
        paths.append(tmp_path / f"{number}.{suffix}")
        PIL.Image.fromarray(pixels[..., 0]).save(paths[-1])
    of_files = jaxstage.predict(digits_run, paths)
    if suffix == "png":  # without loss
        assert of_files == jaxstage.predict(network, test_split.image[:3])
    assert jaxstage.predict(str(digits_run), str(paths[0])) == jaxstage.predict(network, paths[:1])
    assert jaxstage.predict(network, paths[0])[0].label == of_files[0].label


def test_one_picture_grey_or_in_colour(network, test_split):
    image = test_split.image[0]
    one = jaxstage.predict(network, image)
    assert len(one) == 1
    assert jaxstage.predict(network, image[..., 0]) == one  # without channels
    assert jaxstage.predict(network, test_split.image[:2, ..., 0])[0].label == one[0].label  # several of them
    (coloured,) = jaxstage.predict(network, np.repeat(image, 3, axis=-1))
    assert coloured.label == one[0].label
    assert jaxstage.predict(network, []) == []


def test_other_sizes_are_cut_and_resized_as_in_evaluation(network):
    large = np.random.default_rng(0).integers(0, 256, (40, 31, 3)).astype(np.uint8)
    path_of_evaluation = decode(large, (8, 8), 1, lambda width, height: fitting_box(width, height, (8, 8)))
    assert (
        jaxstage.predict(network, [large, large[:20]])[0]
        == jaxstage.predict(network, [path_of_evaluation, large[:20]])[0]
    )


def test_own_photos_are_predicted_as_they_were_trained_and_evaluated(tmp_path):
    random, files = np.random.default_rng(0), {"train": [], "test": []}
    for split, number in itertools.product(files, range(40)):
        pixels = np.full((24, 80, 3), 60, np.uint8)
        pixels[:, (0, -12)[number % 2] :][:, :12] += 150  # the classes differ at the ends, which no crop shows
        pixels[:, 34:46] += random.integers(0, 90, (24, 12, 3), np.uint8)
        files[split].append(tmp_path / "photos" / split / ("left", "right")[number % 2] / f"{number}.png")
        files[split][-1].parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(files[split][-1])
    prepare_folder("ends", tmp_path / "photos", str(tmp_path))
    model = {"model.depths": (1, 1), "model.widths": (8, 16), "model.dtype": "float32"}
    data = {"name": "ends", "dir": str(tmp_path), "image_size": 16, "workers": 0, "flip": False, "fit": "pad"}
    settings = {
        "task": "train",
        "batch_size": 8,
        "importance.examples": 16,
        "final.epochs": 6,
        "devices": 1,
        "compilation_cache": "",
        **model,
    }
    settings |= {f"data.{key}": value for key, value in data.items()}
    run = jaxstage.search(configs.load("digits", settings), tmp_path / "run").workdir
    network = jaxstage.load(run)
    assert network.fit == "pad" and network.metadata["test_accuracy"] > 0.9
    right = [
        found.label == path.parent.name for found, path in zip(jaxstage.predict(run, files["test"]), files["test"])
    ]
    assert np.mean(right) == pytest.approx(network.metadata["test_accuracy"])
    asked = {"source": str(run), "data.dir": str(tmp_path), "data.image_size": 16, "data.workers": 0, "devices": 1}
    asked |= {"compilation_cache": "", "evaluate.latency_runs": 1}
    accuracy = {
        fit: evaluate(configs.load("evaluate", asked | {"data.fit": fit}))["accuracy"] for fit in (None, "crop")
    }
    assert accuracy[None] == pytest.approx(network.metadata["test_accuracy"]) and accuracy["crop"] < 0.8


def test_a_photo_taken_with_the_camera_on_its_side_is_seen_upright(network, test_split, tmp_path):
    upright = PIL.Image.fromarray(test_split.image[0, ..., 0])
    on_its_side, exif = upright.transpose(PIL.Image.Transpose.ROTATE_90), PIL.Image.Exif()
    exif[0x0112] = 6
    on_its_side.save(tmp_path / "phone.png", exif=exif)
    assert jaxstage.predict(network, tmp_path / "phone.png") == jaxstage.predict(network, test_split.image[0])


@pytest.mark.parametrize(
    "images, text",
    [
        (np.zeros((2, 8, 8, 1), np.float32), "pictures of type float32: give uint8 pixels"),
        (np.zeros((2, 8, 8, 5), np.uint8), r"a picture of shape \(8, 8, 5\)"),
        ([np.zeros((0, 8, 1), np.uint8)], "a picture of shape"),
        ([[[1, 2], [3, 4]]], "pictures of type int64"),
        ("nowhere.png", "there is no file nowhere.png"),
    ],
)
def test_what_is_no_picture_is_told(network, images, text):
    with pytest.raises(UserError, match=text):
        jaxstage.predict(network, images)
