import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxstage.data import Arrays
from jaxstage.importance.interface import share

CALIBRATION = Arrays(np.arange(50 * 3, dtype=np.uint8).reshape(50, 3), np.arange(50, dtype=np.int32))


@pytest.mark.parametrize("shares", [5, 8])
def test_shares_are_equal_and_have_nothing_in_common(shares):
    parts = [share(CALIBRATION, shares, number) for number in range(shares)]
    assert {part.size for part in parts} == {50 // shares}
    labels = np.concatenate([part.label for part in parts])
    assert sorted(labels) == list(range(50 // shares * shares))
    for part in parts:
        np.testing.assert_array_equal(part.image, CALIBRATION.image[part.label])


def test_a_share_of_a_split_set_stays_on_its_devices():
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:4]), ("batch",)), PartitionSpec("batch"))
    split = jax.device_put(CALIBRATION.take(slice(48)), sharding)
    program = jax.jit(lambda data, number: share(data, 3, number)).lower(split, 1).compile()
    assert program(split, 1).label.tolist() == list(range(1, 48, 3))
    assert not any(word in program.as_text() for word in ("all-gather", "all-reduce", "all-to-all", "collective"))
