import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from jaxstage.models import resnet
from jaxstage.train.state import init_state, kernel_mask, learning_rates, make_optimizer, make_schedule

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
