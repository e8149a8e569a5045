"""What is said when a device has no memory left."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from jaxstage.errors import UserError, first_line

EXHAUSTED = "RESOURCE_EXHAUSTED"  # as XLA's errors begin


@contextlib.contextmanager
def explaining_exhaustion(sizes: Mapping[str, Any]) -> Iterator[None]:
    """Turns XLA's error for it into one that names what could be smaller: keys of the config with their values.

    Raises:
      UserError: there was such an error. What was saved before is still there.
    """
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith(EXHAUSTED):
            raise
        told = " or ".join(f"config.{name}" + (f"={value}" if value else "") for name, value in sizes.items())
        raise UserError(f"a device has not enough memory ({first_line(error)}): choose a smaller {told}") from error
