"""Streams: what they deliver, in which order, and what they do about broken images."""

import contextlib
import io
import os
import subprocess
import sys
from functools import partial

import numpy as np
import PIL.Image
import pytest
from conftest import REPOSITORY

from jaxstage import config as configs
from jaxstage.data import Stream, load_test, load_train, skipped
from jaxstage.data.sources import open_source
from jaxstage.data.streaming import BrokenImages, EvaluationBatches, TrainingBatches, iterate
from jaxstage.errors import JaxstageWarning, UserError

WORDS = (1, 2)


class Pictures:
    """Records of photographs of several sizes; number `i` is grey level `i`. Top-level, so that workers can have it."""

    def __init__(self, count, broken=()):
        self.count, self.broken = count, dict(broken)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        data = io.BytesIO()
        PIL.Image.new("L", (40 + index % 7, 50), index).save(data, "PNG")
        return self.broken.get(index, data.getvalue()), index % 10, f"picture{index}.png"


def stream(count=50, broken=(), scale=(0.2, 1.0)):
    return Stream("pictures/train", Pictures(count, broken), np.arange(count), (16, 16, 1), scale)


def training(start=0, steps=12, places=range(8), copies=1, **options):
    return TrainingBatches(stream(**options), WORDS, 8, places, start, steps, copies)


def test_an_epoch_sees_every_image_at_most_once_and_the_next_in_another_order():
    batches = training()
    epochs = [[batches[step]["image"][:, 0, 0, 0] for step in range(6 * e, 6 * e + 6)] for e in (0, 1)]
    for epoch in epochs:
        assert len(set(np.concatenate(epoch).tolist())) == 48  # 50 images, 6 batches of 8
    assert not np.array_equal(*epochs)


def test_labels_belong_to_their_images():
    for batch in (training()[3], EvaluationBatches(stream(), 8, range(8))[2]):
        assert np.array_equal(batch["image"][:, 5, 5, 0] % 10, batch["label"])


@pytest.mark.parametrize("workers", [0, 2])
def test_started_in_the_middle_it_goes_on_with_the_same_bits(workers):
    whole = [training()[step] for step in range(12)]
    rest = list(iterate(training(start=5), workers))
    assert len(rest) == 7
    for ours, theirs in zip(rest, whole[5:]):
        for name in theirs:
            assert np.array_equal(ours[name], theirs[name])


SCRIPT = """
import numpy as np
from jaxstage.data import Stream
from jaxstage.data.streaming import EvaluationBatches, iterate

class Images:
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return np.full((8, 8, 1), index, np.uint8), 0, ""

batches = EvaluationBatches(Stream("images", Images(), np.arange(24), (8, 8, 1)), 4, range(4))
print([int(batch["image"][0, 0, 0, 0]) for batch in iterate(batches, workers=2)])
stopped = iterate(batches, workers=2)
next(stopped)
stopped.close()
"""


def test_workers_need_no_guard_in_a_script_and_leave_no_memory_behind(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    options = dict(capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    ended = subprocess.run([sys.executable, script], **options)
    assert (ended.stdout, ended.stderr) == ("[0, 4, 8, 12, 16, 20]\n", "")


def test_two_hosts_share_a_batch_without_overlap():
    whole, first, second = training()[4], training(places=range(4))[4], training(places=range(4, 8))[4]
    for name in whole:
        assert np.array_equal(np.concatenate([first[name], second[name]]), whole[name])


def test_an_evaluation_counts_every_example_once():
    batches = EvaluationBatches(stream(), 8, range(8))
    parts = [batches[number] for number in range(len(batches))]
    assert sum(part["weight"].sum() for part in parts) == 50
    seen = np.concatenate([part["image"][part["weight"] > 0, 0, 0, 0] for part in parts])
    assert sorted(seen.tolist()) == list(range(50))


def test_broken_images_keep_their_place_are_named_once_and_stop_a_run_when_too_many():
    broken, warnings = {3: b"", 7: b"nonsense"}, []
    split = stream(broken=broken)
    report = BrokenImages(split, share=0.02, warn=warnings.append)
    batches = EvaluationBatches(split, 25, range(25))
    with pytest.raises(UserError, match=r"2 of the 50 images .*pictures/train\[7\] \(picture7.png\).*max_broken=0.02"):
        report(batches[0]["index"], batches[0]["status"])
    assert warnings == [
        "pictures/train[3] (picture3.png) is skipped: no data (1 so far)",
        "pictures/train[7] (picture7.png) is skipped: not decodable (2 so far)",
    ]
    assert np.flatnonzero(batches[0]["weight"] == 0).tolist() == [3, 7]
    report(batches[0]["index"], batches[0]["status"])  # known already
    assert len(warnings) == 2


@pytest.mark.parametrize("share, broken, stops", [(0.001, (3,), False), (0.001, (3, 7), True), (0.0, (3,), True)])
def test_one_broken_image_of_a_small_set_is_not_too_many(tmp_path, share, broken, stops):
    path, split = tmp_path / "skipped.json", stream(broken=dict.fromkeys(broken, b""))
    batch = EvaluationBatches(split, 50, range(50))[0]
    for _ in range(2):  # and once more, as after a restart
        report = BrokenImages(split, share, warn=lambda text: None, note=partial(skipped.add, path))
        with pytest.raises(UserError, match="cannot be read") if stops else contextlib.nullcontext():
            report(batch["index"], batch["status"])
    names = [f"picture{index}.png" for index in broken]
    assert skipped.load(path) == [{"split": "pictures/train", "image": name, "why": "no data"} for name in names]


def data_config(**changes):
    config = configs.default().data
    for key, value in changes.items():
        config[key] = value
    return config


def test_a_tfds_set_streams_the_pixels_that_it_has_in_memory(toy_tfds):
    config = data_config(name="toy", dir=str(toy_tfds), validation=0.2, input="streaming")
    dataset, test = load_train(config, seed=0), load_test(config)
    assert (dataset.train.size, dataset.validation.size, dataset.image_shape) == (72, 18, (16, 16, 3))
    assert not set(dataset.train.indices) & set(dataset.validation.indices)
    images, labels = open_source("toy", str(toy_tfds)).read("test")
    ours, our_labels = test.read(report=lambda *_: None)
    assert np.array_equal(ours, images) and np.array_equal(our_labels, labels)


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"crop_scale": (0.1, 1.0)}, "only with config.data.input=streaming"),
        ({"image_size": 8, "input": "resident"}, "must have one size: use streaming"),
    ],
)
def test_what_needs_a_stream_says_so(toy_tfds, changes, text):
    with pytest.raises(UserError, match=text):
        load_train(data_config(name="toy", dir=str(toy_tfds), **changes), seed=0)


def test_another_size_is_streamed_by_itself(toy_tfds):
    assert load_train(data_config(name="toy", dir=str(toy_tfds), image_size=8), seed=0).image_shape == (8, 8, 3)


def test_a_damaged_list_of_skipped_images_is_set_aside_and_begun_anew(tmp_path):
    path, image = tmp_path / "skipped.json", {"split": "a/train", "image": "b", "why": "no data"}
    path.write_text('{"images": [{"split"')
    with pytest.warns(JaxstageWarning, match="skipped.json was damaged: it lies in .*/damaged now"):
        skipped.add(path, [image])
    assert skipped.load(path) == [image] and (tmp_path / "damaged" / "skipped.json").read_text().startswith('{"images')
