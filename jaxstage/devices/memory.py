"""What is said when a device has no memory left."""

import contextlib
from collections.abc import Iterator

from jaxstage.config import Config
from jaxstage.errors import UserError, first_line

EXHAUSTED = "RESOURCE_EXHAUSTED"  # as XLA's errors begin


@contextlib.contextmanager
def explaining_exhaustion(config: Config) -> Iterator[None]:
    """Turns XLA's error for it into one that names what takes less; config, of the run.

    Raises:
      UserError: there was such an error. What was saved before is still there.
    """
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith(EXHAUSTED):
            raise
        sizes = ("batch_size", config.batch_size), ("data.image_size", config.data.image_size)
        told = " or ".join(f"config.{name}" + (f"={value}" if value else "") for name, value in sizes)
        raise UserError(f"a device has not enough memory ({first_line(error)}): choose a smaller {told}") from error
