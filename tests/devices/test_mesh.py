"""The devices that share a batch, by jit or by pmap, and programs over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxstage.devices.mesh import AXIS, set_up, spread
from jaxstage.errors import UserError

MODES = pytest.mark.parametrize("mode", ["jit", "pmap"])


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match="batch_size=30 does not divide over 8 devices"):
        set_up("jit", 8, 30)


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(UserError, match="config.devices=9"):
        set_up("jit", 9, 90)


def test_all_devices_are_taken_unless_fewer_are_asked_for():
    assert set_up("jit", None, 16).mesh.size == 8 and set_up("jit", 2, 16).mesh.size == 2


@MODES
def test_the_places_of_a_batch_are_split_in_order(mode):
    parallel = set_up(mode, 4, 8)
    places = parallel.places(8)
    assert places.shape == {"jit": (8,), "pmap": (4, 2)}[mode]
    assert np.asarray(places).ravel().tolist() == list(range(8)) == list(parallel.local_places(8))
    shards = sorted(places.addressable_shards, key=lambda shard: shard.device.id)
    assert [np.asarray(shard.data).ravel().tolist() for shard in shards] == [[0, 1], [2, 3], [4, 5], [6, 7]]


@MODES
def test_a_batch_of_the_host_is_split_like_its_places(mode):
    parallel = set_up(mode, 4, 8)
    batch = {"image": np.arange(48).reshape(8, 3, 2), "weight": np.arange(8.0)}
    split = parallel.split({name: parallel.from_local(part) for name, part in batch.items()})
    for name, part in batch.items():
        assert split[name].shape == {"jit": part.shape, "pmap": (4, 2, *part.shape[1:])}[mode]
        np.testing.assert_array_equal(np.asarray(split[name]).reshape(part.shape), part)


@MODES
def test_a_spread_program_sees_the_whole_batch_and_keeps_the_state_replicated(mode):
    parallel = set_up(mode, 4, 8)

    def step(state, values, rate):
        total = values.sum() if mode == "jit" else jax.lax.psum(values.sum(), AXIS)
        return state + rate * total, {"total": total}

    place = lambda value: jax.device_put(value, parallel.replicated)
    values = parallel.split(parallel.from_local(np.arange(8, dtype=np.float32)))
    state, metrics = spread(step, parallel, (False, True, False))(place(jnp.ones(())), values, place(np.float32(0.5)))
    assert float(state) == 15.0 and float(metrics["total"]) == 28.0
    assert state.is_fully_replicated and len(state.devices()) == 4


def test_under_jit_the_state_is_given_up():
    parallel = set_up("jit", 1, 8)
    state = jax.device_put(jnp.ones(3), parallel.replicated)
    spread(lambda state: (state + 1, {}), parallel, (False,))(state)
    assert state.is_deleted()
