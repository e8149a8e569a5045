"""The two ways that examples come to the devices, and the order in which they come."""

import inspect

import jax
import numpy as np
import pytest

from jaxstage.data import Arrays, Stream
from jaxstage.data.batches import one_pass
from jaxstage.devices.mesh import set_up
from jaxstage.errors import UserError
from jaxstage.train import resident, streamed
from jaxstage.train.inputs import input_of
from jaxstage.train.resident import epoch_order

NAMES = "place steps_at_once compile_step feed evaluation batches calibration_size choose sample".split()
SIZE = 22
IMAGES = np.random.default_rng(0).integers(0, 256, (SIZE, 8, 8, 3), np.uint8)
LABELS = np.arange(SIZE, dtype=np.int32) % 2


def splits():
    """The same examples, held either way."""
    records = [(image, int(label), None) for image, label in zip(IMAGES, LABELS)]
    return Arrays(IMAGES, LABELS), Stream("toy/train", records, np.arange(SIZE), (8, 8, 3))


def broken(stream):
    return lambda indices, status: None


@pytest.mark.parametrize("name", NAMES)
def test_both_take_the_same_arguments(name):
    of = lambda module: list(inspect.signature(getattr(module, name)).parameters)
    assert of(resident) == of(streamed)


def test_a_split_says_which_it_is():
    assert [input_of(split) for split in splits()] == [resident, streamed]


@pytest.mark.parametrize("size, batch, expected", [(5, 2, [[0, 1], [2, 3], [4, 0]]), (4, 4, [[0, 1, 2, 3]])])
def test_a_pass_shows_every_example_once_as_new(size, batch, expected):
    parts = list(one_pass(size, batch))
    assert [index.tolist() for index, _ in parts] == expected
    assert np.concatenate([index[new] for index, new in parts]).tolist() == list(range(size))


@pytest.mark.parametrize("split", splits())
def test_both_pass_over_all_examples_in_batches_of_one_size(split):
    parts = list(input_of(split).batches(split, 8, broken))
    assert {images.shape for images, _, _ in parts} == {(8, 8, 8, 3)}
    for number, whole in ((0, IMAGES), (1, LABELS)):
        np.testing.assert_array_equal(np.concatenate([part[number][part[2]] for part in parts]), whole)


@pytest.mark.parametrize("split", splits())
@pytest.mark.parametrize("devices", [1, 8])
def test_both_evaluate_every_example_once(split, devices):
    parallel = set_up("jit", devices, 8)
    held = input_of(split)

    def step(variables, batch):
        return {"loss": batch.image[:, 0, 0, 0] @ batch.weight, "accuracy": batch.label @ batch.weight}

    evaluate = held.evaluation(step, held.place(split, parallel), parallel, 16, broken)
    assert evaluate(jax.device_put(0.0, parallel.replicated)) == pytest.approx(
        {"loss": IMAGES[:, 0, 0, 0].mean(), "accuracy": LABELS.mean()}
    )


@pytest.mark.parametrize("split", splits())
def test_both_choose_images_and_sample_them(split):
    held = input_of(split)
    chosen, again = (held.choose(split, 10, 0, broken) for _ in range(2))
    assert chosen.size == 10 and np.array_equal(chosen.image, again.image)
    np.testing.assert_array_equal(held.sample(split, 0, broken).image, IMAGES)


def test_a_sample_of_a_stream_is_limited(monkeypatch):
    monkeypatch.setattr(streamed, "MOST_SAMPLED", 7)
    assert streamed.sample(splits()[1], 0, broken).size == 7


@pytest.mark.parametrize("split", splits())
def test_importance_looks_at_all_of_a_set_that_is_smaller(split):
    held = input_of(split)
    assert [held.calibration_size(asked, split) for asked in (10, 512, None)] == [10, split.size, split.size]
    assert held.choose(split, 20, 0, broken).size == 20


def test_what_a_stream_cannot_do_is_refused(monkeypatch):
    _, stream = splits()
    monkeypatch.setattr(streamed, "MOST_SAMPLED", 7)
    with pytest.raises(UserError, match="config.importance.examples=None: a streamed set is too large"):
        streamed.calibration_size(None, stream)
    with pytest.raises(UserError, match="config.steps_per_dispatch=2: the images of toy/train are streamed"):
        streamed.steps_at_once(2, stream)


def test_a_stream_is_fed_from_any_step_on_in_order():
    """With the same batches as from the first step on."""
    parallel, (_, stream) = set_up("jit", 2, 8), splits()
    key = jax.device_put(jax.random.key(0), parallel.replicated)
    rates = np.arange(5, dtype=np.float32)
    feed = lambda: streamed.feed(stream, key, parallel, batch_size=8, rates=rates, copies=1, workers=0, broken=broken)
    with feed() as first:
        whole = [first(number, 1) for number in range(5)]
    with feed() as later:
        for number in (3, 4):
            batch, rate = later(number, 1)
            np.testing.assert_array_equal(batch.image, whole[number][0].image)
            assert float(rate) == number
        with pytest.raises(ValueError, match="step 5 alone is due"):
            later(1, 1)


def test_an_epoch_shows_every_copy():
    order = np.asarray(epoch_order(jax.random.key(0), size=10, copies=3))
    assert (np.bincount(order, minlength=10) == 3).all()
    assert len(set(order[:10].tolist())) < 10  # the copies are mixed, not one after the other
