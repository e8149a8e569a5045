"""Images of other numbers of channels than pictures have, from arrays to predictions and exports."""

import json
import subprocess
import sys

import numpy as np
import pytest

import jaxstage
from jaxstage import config as configs
from jaxstage.data.decode import decode
from jaxstage.data.pictures import fitting_box, of_pixels
from jaxstage.data.sources import from_arrays
from jaxstage.errors import UserError
from jaxstage.export import export

CHANNELS = 5


def spectra():
    """Three classes, each bright in a channel of its own."""
    random = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int32) % 3
    images = random.integers(0, 60, (60, 10, 14, CHANNELS), np.uint8)
    images[np.arange(60), ..., labels + 1] += 150
    return from_arrays(("a", "b", "c"), (images, labels))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_each_channel_is_resized_as_a_grey_picture(fit):
    pixels = spectra().read("train", [0])[0][0]
    size = (6, 8)
    box_of = lambda width, height: fitting_box(width, height, size, fit)
    found = decode(pixels, size, CHANNELS, box_of)
    grey = [decode(pixels[..., [channel]], size, 1, box_of) for channel in range(CHANNELS)]
    assert np.array_equal(found, np.concatenate(grey, axis=-1)) and np.array_equal(found, of_pixels(pixels, size, fit))


@pytest.mark.parametrize("more", [{}, {"data.image_size": (8, 12), "data.workers": 0}])
def test_from_arrays_to_predictions_and_exports(more, tmp_path, compilation_cache):
    changes = {
        "task": "train",
        "data.name": "test_channels:spectra",
        "data.crop_padding": 0,
        "model.depths": (1, 1),
        "model.widths": (4, 8),
        "batch_size": 8,
        "final.epochs": 12,
        "devices": 1,
        "compilation_cache": str(compilation_cache),
        **more,
    }
    result = jaxstage.search(configs.load("digits", changes), str(tmp_path / "run"))
    assert result.test_accuracy == 1.0
    images, labels = spectra().read("train", range(6))
    named = [found.label for found in jaxstage.predict(tmp_path / "run", images, trust=True)]
    assert named == ["abc"[label] for label in labels]
    for number, image in enumerate(images):
        np.save(tmp_path / f"{number}.npy", image)
    files = [str(tmp_path / f"{number}.npy") for number in range(6)]
    assert [found.label for found in jaxstage.predict(tmp_path / "run", files, trust=True)] == named
    folder = export(tmp_path / "run", "stablehlo", trust=True)["folder"]
    shown = subprocess.run(
        [sys.executable, "example.py", *files], cwd=folder, capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout.replace("'", '"')) == named
    (tmp_path / "text.npy").write_text("no numbers")
    for wrong, text in ((images[0][..., :3], "with 5 channels"), (str(tmp_path / "text.npy"), "has no pixels")):
        with pytest.raises(UserError, match=text):
            jaxstage.predict(tmp_path / "run", [wrong], trust=True)
