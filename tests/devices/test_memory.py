"""What is said when a device has no memory left: of XLA's own error, and of no other."""

import jax
import jax.numpy as jnp
import pytest

from jaxstage.devices.memory import explaining_exhaustion
from jaxstage.errors import UserError


def test_a_device_without_memory_is_told_with_what_takes_less():
    with pytest.raises(
        UserError, match="not enough memory .*: choose a smaller config.batch_size=512 or config.data.image_size$"
    ):
        with explaining_exhaustion({"batch_size": 512, "data.image_size": None}):
            jax.block_until_ready(jax.jit(lambda: jnp.zeros((10**7, 10**6)))())  # 40 TB


def test_other_errors_stay_what_they_are():
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        with explaining_exhaustion({}):
            raise jax.errors.JaxRuntimeError("INTERNAL: RESOURCE_EXHAUSTED is not the beginning")
