"""One step, whatever it is spread over."""

from functools import partial

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxstage.data import Arrays, Normalization
from jaxstage.data.augment import Augmentation, mix
from jaxstage.devices.mesh import set_up
from jaxstage.models import resnet
from jaxstage.models.elastic import make_deck
from jaxstage.train import resident, streamed
from jaxstage.train.loss import cross_entropy
from jaxstage.train.state import init_state, learning_rates, make_optimizer, make_schedule
from jaxstage.train.step import Batch, Recipe, make_eval_step, make_train_step

BATCH = 32
RANDOM = np.random.default_rng(0)
DATA = Arrays(RANDOM.integers(0, 256, (100, 8, 8, 3), np.uint8), RANDOM.integers(0, 10, 100).astype(np.int32))
NORMALIZATION = Normalization(np.float32(0.5), np.float32(0.25))
TRAINING = ConfigDict(dict(epochs=10, schedule="constant", warmup_epochs=1.0, drop_epochs=(), drop_factor=0.1))
OPTIMIZER = ConfigDict(
    dict(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3, decay_head=True, clip=None)
)


STATES = [(1, 1), (1, 2), (2, 1), (2, 2)]


RECIPE = Recipe(Augmentation(crop_padding=2, flip=True), label_smoothing=0.1)


def prepare(parallel, steps=1, states=(), recipe=RECIPE):
    """A compiled program, its state and its other arguments for a number of steps."""
    module = resnet((2, 2) if states else (1, 1), num_classes=10, widths=(4, 8), axis_name=parallel.axis_name)
    optimizer = make_optimizer(OPTIMIZER)
    step = make_train_step(
        module,
        optimizer,
        NORMALIZATION,
        recipe,
        deck=make_deck(states, BATCH // 8) if states else None,
        axis_name=parallel.axis_name,
    )
    program = resident.compile_step(step, parallel, BATCH, steps)
    place = lambda tree: jax.device_put(tree, parallel.replicated)
    fresh = init_state(module, optimizer, (8, 8, 3), jax.random.key(0), averaged=recipe.average > 0)
    state, data = place(fresh), place(DATA)
    rates = learning_rates(make_schedule(TRAINING, 0.1, 3), 30)
    feed = resident.Feed(data, place(jax.random.key(2)), parallel, BATCH, rates)
    key = place(jax.random.key(1))
    return program, state, lambda number, count: (*feed(number, count), key)


def losses(mode: str, devices: int, steps: int = 20, states=(), recipe=RECIPE):
    program, state, arguments = prepare(set_up(mode, devices, BATCH), states=states, recipe=recipe)
    metrics = []
    for number in range(steps):
        state, values = program(state, *arguments(number, 1))
        metrics.append(values["loss"])
    assert int(state.step) == steps
    return np.concatenate(jax.device_get(metrics)), jax.device_get(state.variables["batch_stats"])


def several_at_once(mode: str, devices: int, counts: list[int]):
    """The same, `counts` steps a dispatch."""
    program, state, arguments = prepare(set_up(mode, devices, BATCH), steps=3)
    metrics = []
    for number, count in zip(np.cumsum([0, *counts]), counts):
        state, values = program(state, *arguments(int(number), count))
        metrics.append(values["loss"][:count])
    assert int(state.step) == sum(counts)
    return np.concatenate(jax.device_get(metrics)), jax.device_get(state.batch_stats)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_eight_devices_compute_what_one_computes(mode):
    (one, one_stats), (eight, eight_stats) = losses("jit", 1), losses(mode, 8)
    assert one[0] > one[-1]
    np.testing.assert_allclose(eight, one, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), eight_stats, one_stats)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_an_elastic_network_trains_the_same_on_any_devices_and_not_as_the_whole_one(mode):
    (one, one_stats), (eight, eight_stats) = losses("jit", 1, 9, STATES), losses(mode, 8, 9, STATES)
    np.testing.assert_allclose(eight, one, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), eight_stats, one_stats)
    assert not np.allclose(losses("jit", 1, 9, STATES[-1:])[0], one, rtol=1e-3)


MIXING = Recipe(
    Augmentation(2, True, erasing=0.5, mixup=0.2, cutmix=1.0),
    class_weights=np.linspace(0.5, 1.5, 10, dtype=np.float32),
    average=0.9,
    frozen=frozenset({("stem_norm",)}),
)


@pytest.mark.parametrize("states", [(), STATES])
def test_with_every_switch_eight_devices_compute_what_one_computes(states):
    """The mixed images, and the average of the batch statistics."""
    (one, one_stats), *others = (losses(*how, 6, states, MIXING) for how in (("jit", 1), ("jit", 8), ("pmap", 8)))
    for eight, eight_stats in others:
        np.testing.assert_allclose(eight, one, rtol=1e-4)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), eight_stats, one_stats)


def test_the_loss_of_a_mixed_image_is_that_of_both_labels_by_their_shares_and_weights():
    """Against the sum written out, of a network without BatchNorm in training."""
    module, optimizer = resnet((1,), num_classes=10, widths=(4,)), make_optimizer(OPTIMIZER)
    weights = np.linspace(0.5, 1.5, 10, dtype=np.float32)
    recipe = Recipe(Augmentation(mixup=1.0), class_weights=weights, head_only=True)
    state, key = init_state(module, optimizer, (8, 8, 3), jax.random.key(0)), jax.random.key(5)
    batch = Batch(DATA.image[:8], DATA.label[:8], np.arange(8, dtype=np.int32))
    _, metrics = jax.jit(make_train_step(module, optimizer, NORMALIZATION, recipe))(state, batch, 0.1, key)
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, 0)))(batch.position)
    mixed, own = map(np.asarray, mix(batch.image, keys, 1.0, 0.0))
    log_p = np.asarray(jax.nn.log_softmax(module.apply(state.variables, (mixed / 255 - 0.5) / 0.25)))
    label, other = batch.label, batch.label[[1, 0, 3, 2, 5, 4, 7, 6]]
    here = np.arange(8)
    expected = -own * weights[label] * log_p[here, label] - (1 - own) * weights[other] * log_p[here, other]
    assert float(metrics["loss"]) == pytest.approx(expected.mean(), rel=1e-4)
    named = np.where(own >= 0.5, label, other)
    assert float(metrics["accuracy"]) == pytest.approx((log_p.argmax(-1) == named).mean())


@pytest.mark.parametrize("mode, devices", [("jit", 1), ("jit", 8), ("pmap", 8)])
def test_a_dispatch_of_several_steps_does_what_single_steps_do(mode, devices):
    (single, single_stats), (several, stats) = losses(mode, devices, 9), several_at_once(mode, devices, [3, 1, 2, 3])
    np.testing.assert_allclose(several, single, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), stats, single_stats)


def test_how_a_training_is_cut_into_dispatches_does_not_change_a_bit():
    """So that it may be killed anywhere, and go on with other dispatches than it would have had."""
    (one, stats), (other, other_stats) = several_at_once("jit", 2, [3, 3]), several_at_once("jit", 2, [2, 1, 1, 2])
    assert np.array_equal(one, other)
    jax.tree.map(np.testing.assert_array_equal, stats, other_stats)


def test_the_same_key_gives_the_same_bits():
    assert np.array_equal(losses("jit", 2, steps=5)[0], losses("jit", 2, steps=5)[0])


@pytest.mark.parametrize("steps", [1, 2])
def test_after_the_first_dispatch_nothing_is_compiled_or_transferred(steps):
    parallel = set_up("jit", 2, BATCH)
    program, state, arguments = prepare(parallel, steps)
    state, _ = program(state, *arguments(0, steps))
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if event.startswith("/jax/core/compile") else None
    )
    with jax.transfer_guard("disallow"):
        for number in range(1, 3):
            state, metrics = program(state, *arguments(number, 1))
    jax.monitoring.clear_event_listeners()
    assert compiled == [] and np.isfinite(float(metrics["loss"][0]))


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_a_program_that_was_compiled_ahead_is_not_compiled_again(mode):
    program, state, arguments = prepare(set_up(mode, 2, BATCH))
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)
    first = arguments(0, 1)
    program.lower(like, *first).compile()
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
    state, _ = program(state, *first)
    jax.monitoring.clear_event_listeners()
    assert compiled == [] and int(state.step) == 1


@pytest.mark.parametrize("devices, batch", [(1, 100), (1, 7), (8, 32), (8, 512)])
def test_evaluation_counts_every_example_once(devices, batch):
    """Against the whole split in one plain pass, whatever the padding."""
    parallel = set_up("jit", devices, 8)
    module = resnet((1, 1), num_classes=10, widths=(4, 8))
    variables = module.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
    logits = module.apply(variables, (DATA.image / np.float32(255) - 0.5) / 0.25)
    step = make_eval_step(module, NORMALIZATION)
    place = lambda tree: jax.device_put(tree, parallel.replicated)
    result = resident.evaluation(step, place(DATA), parallel, batch)(place(variables))
    assert result["loss"] == pytest.approx(float(cross_entropy(logits, DATA.label).mean()), rel=1e-4)
    assert result["accuracy"] == pytest.approx(float((logits.argmax(-1) == DATA.label).mean()), abs=0.011)


def test_label_smoothing_is_the_mixture_with_uniform_targets():
    logits = RANDOM.normal(size=(5, 10)).astype(np.float32)
    labels = np.array([1, 2, 3, 4, 5])
    log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
    expected = -0.9 * log_p[np.arange(5), labels] - 0.1 * log_p.mean(-1)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.1), expected, rtol=1e-5)
    np.testing.assert_allclose(cross_entropy(logits, labels), -log_p[np.arange(5), labels], rtol=1e-5)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_an_example_of_weight_0_counts_nothing(mode):
    """A streamed batch with broken images has the loss, the accuracy and the gradient of the others, averaged."""
    parallel = set_up(mode, 4, 8)
    module = resnet((1,), num_classes=10, widths=(4,), axis_name=parallel.axis_name)
    optimizer = make_optimizer(OPTIMIZER)
    step = streamed.compile_step(
        make_train_step(module, optimizer, NORMALIZATION, Recipe(head_only=True), axis_name=parallel.axis_name),
        parallel,
        batch_size=8,
    )
    state = init_state(module, optimizer, (8, 8, 3), jax.random.key(0))
    weight = np.array([1, 0, 1, 1, 0, 0, 1, 1], np.float32)  # one device has nothing but broken images
    batch = Batch(DATA.image[:8], DATA.label[:8], np.arange(8, dtype=np.int32), weight)
    batch = parallel.split(jax.tree.map(parallel.from_local, batch))
    images = (DATA.image[:8] / np.float32(255) - 0.5) / 0.25

    def expected_loss(head):  # BatchNorm as in evaluation: the broken images do not touch the others
        plain = resnet((1,), num_classes=10, widths=(4,))
        logits = plain.apply({"params": {**state.params, "head": head}, "batch_stats": state.batch_stats}, images)
        return cross_entropy(logits, DATA.label[:8])[weight > 0].mean()

    loss, gradient = jax.value_and_grad(expected_loss)(state.params["head"])
    start = state.params["head"]
    place = lambda tree: jax.device_put(jax.tree.map(np.array, tree), parallel.replicated)
    after, metrics = step(
        place(state), batch, *jax.device_put((np.float32(0.1), jax.random.key(1)), parallel.replicated)
    )
    assert float(metrics["loss"][0]) == pytest.approx(float(loss), rel=1e-5)
    full = jax.tree.map(lambda g, p: g + (OPTIMIZER.weight_decay * p if p.ndim > 1 else 0), gradient, start)
    moved = jax.tree.map(lambda a, p: (p - a) / (0.1 * 1.9), after.params["head"], start)  # Nesterov's first step
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), moved, full)
