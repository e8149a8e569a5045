import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from jaxstage.models import resnet
from jaxstage.train.state import (
    AveragedState,
    Hold,
    init_state,
    kernel_mask,
    learning_rates,
    make_optimizer,
    make_schedule,
    move_average,
)

OPTIMIZER = ConfigDict(
    dict(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, decay_head=True, clip=None)
)


def training(**changes):
    return ConfigDict(
        dict(epochs=10, schedule="constant", warmup_epochs=0.0, drop_epochs=(), drop_factor=0.1) | changes
    )


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, {0: 1.0, 99: 1.0}),
        ({"warmup_epochs": 1.0}, {0: 0.1, 4: 0.5, 9: 1.0, 50: 1.0}),
        ({"schedule": "cosine"}, {0: 1.0, 50: 0.5, 100: 0.0}),
        ({"schedule": "cosine", "warmup_epochs": 2.0}, {20: 1.0, 60: 0.5, 100: 0.0}),
        ({"schedule": "step", "drop_epochs": (4, 8)}, {39: 1.0, 41: 0.1, 79: 0.1, 81: 0.01}),
        ({"schedule": "step", "drop_epochs": (4,), "warmup_epochs": 1.0}, {0: 0.1, 39: 1.0, 41: 0.1}),
    ],
)
def test_schedules(changes, expected):
    schedule = make_schedule(training(**changes), learning_rate=1.0, steps_per_epoch=10)
    rates = learning_rates(schedule, 101)
    for step, rate in expected.items():
        assert rates[step] == pytest.approx(rate, abs=1e-6), step


def test_time_decay_is_that_of_keras_2():
    """lr * 1 / (1 + decay * iterations), as keras/optimizers.py of 2.1.2 has it, on top of the steps."""
    schedule = make_schedule(training(schedule="step", drop_epochs=(4,)), 0.01, steps_per_epoch=10, time_decay=1e-3)
    rates = learning_rates(schedule, 51)
    for step, rate in {0: 0.01, 10: 0.01 / 1.01, 50: 0.001 / 1.05}.items():
        assert rates[step] == pytest.approx(rate, rel=1e-5)


def test_the_head_can_be_left_out_of_the_decay():
    params = {"stem_conv": {"kernel": jnp.ones(2)}, "head": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
    optimizer = make_optimizer(ConfigDict(OPTIMIZER.to_dict() | {"decay_head": False}))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    assert (updates["head"]["kernel"] == 0).all() and (updates["stem_conv"]["kernel"] != 0).all()


def test_decay_is_on_kernels_alone():
    params = init_state(
        resnet((1,), num_classes=3, widths=(4,), conv_bias=True), optax.sgd(1.0), (8, 8, 3), jax.random.key(0)
    ).params
    mask = kernel_mask(params)
    assert mask["head"] == {"kernel": True, "bias": False}
    assert mask["stage1_block01"]["conv1"] == {"kernel": True, "bias": False}
    assert mask["stem_norm"] == {"scale": False, "bias": False}


def test_steps_are_nesterov_momentum_with_l2():
    """Against the recursion written out by hand (Sutskever et al., ICML 2013, as PyTorch and optax have it)."""
    optimizer = make_optimizer(OPTIMIZER)
    params = {"layer": {"kernel": jnp.array([2.0, -1.0])}}
    state, weight, trace = optimizer.init(params), np.array([2.0, -1.0]), np.zeros(2)
    for grad in ([1.0, 0.5], [-0.3, 2.0], [0.1, 0.0]):
        updates, state = optimizer.update({"layer": {"kernel": jnp.array(grad)}}, state, params)
        params = optax.apply_updates(params, jax.tree.map(lambda update: -0.1 * update, updates))
        full = np.array(grad) + 0.01 * weight
        trace = full + 0.9 * trace
        weight = weight - 0.1 * (full + 0.9 * trace)
        np.testing.assert_allclose(params["layer"]["kernel"], weight, rtol=1e-5)


def test_the_average_is_optaxs_debiased_one():
    """Of parameters and batch statistics after every step, whatever it began with."""
    random, decay = np.random.default_rng(0), 0.9
    values = [{"params": {"a": random.normal(size=3)}, "batch_stats": {"b": random.normal(size=2)}} for _ in range(40)]
    values = jax.tree.map(jnp.float32, values)
    ema = optax.ema(decay, debias=True)
    state, found = ema.init(values[0]), AveragedState(jnp.int32(0), {}, {}, (), jax.tree.map(jnp.zeros_like, values[0]))
    for number, value in enumerate(values, 1):
        expected, state = ema.update(value, state)
        found = move_average(found.replace(step=jnp.int32(number), **value), decay)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5), found.variables, expected)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), found.params, values[-1]["params"])


@pytest.mark.parametrize("decay", [0.9, 0.9999, 0.1])
def test_the_first_step_is_all_of_the_average(decay):
    """An initial value has no part in it, so that of a candidate that inherits needs no other."""
    value = {"params": {"a": jnp.array([1.0, -2.0])}, "batch_stats": {}}
    start = AveragedState(jnp.int32(1), **value, opt_state=(), average=jax.tree.map(lambda leaf: 0 * leaf, value))
    np.testing.assert_allclose(move_average(start, decay).variables["params"]["a"], [1, -2], rtol=1e-6)


def with_(**changes):
    return ConfigDict(OPTIMIZER.to_dict() | changes)


def test_gradients_are_clipped_as_optax_does_before_anything_else():
    grads = {"layer": {"kernel": jnp.array([3.0, 4.0])}, "norm": {"scale": jnp.array([12.0])}}
    params = jax.tree.map(jnp.ones_like, grads)
    plain, clipped = make_optimizer(OPTIMIZER), make_optimizer(with_(clip=2.0))
    scaled = jax.tree.map(lambda leaf: leaf * 2 / 13, grads)  # the norm of (3, 4, 12) is 13
    found, _ = clipped.update(grads, clipped.init(params), params)
    expected, _ = plain.update(scaled, plain.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)
    small = jax.tree.map(lambda leaf: leaf / 10, grads)
    found, _ = clipped.update(small, clipped.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, found, plain.update(small, plain.init(params), params)[0])


@pytest.mark.parametrize("clip", [None, 1.0])
def test_what_is_held_does_not_move_and_then_trains_as_from_the_start(clip):
    """Neither its decay nor its gradient is in the momentum or in the norm until then."""
    params = {"stem_conv": {"kernel": jnp.array([2.0, -1.0])}, "head": {"kernel": jnp.array([1.0, 1.0])}}
    hold = Hold({"stem_conv": {"kernel": True}, "head": {"kernel": False}}, 3)
    held, free = make_optimizer(with_(clip=clip), hold=hold), make_optimizer(with_(clip=clip))
    grads = {"stem_conv": {"kernel": jnp.array([30.0, 40.0])}, "head": {"kernel": jnp.array([0.3, -0.1])}}
    head_alone = {"stem_conv": {"kernel": jnp.zeros(2)}, "head": grads["head"]}
    state, alone = held.init(params), free.init(params)
    for step in range(3):
        updates, state = held.update(grads, state, params, step=jnp.int32(step))
        expected, alone = free.update(head_alone, alone, params)
        assert not np.any(updates["stem_conv"]["kernel"])
        np.testing.assert_allclose(updates["head"]["kernel"], expected["head"]["kernel"], rtol=1e-6)
    updates, _ = held.update(grads, state, params, step=jnp.int32(3))
    first, _ = free.update(grads, free.init(params), params)
    np.testing.assert_allclose(updates["stem_conv"]["kernel"], first["stem_conv"]["kernel"], rtol=1e-6)
