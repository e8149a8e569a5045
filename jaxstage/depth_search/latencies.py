"""The table of latencies that a run decides by, the same whenever it goes on."""

import pathlib
from collections.abc import Callable

from jaxstage.config import Config
from jaxstage.cost import latency
from jaxstage.workdir import kept


def of_run(
    config: Config,
    workdir: pathlib.Path,
    image_shape: tuple[int, int, int],
    num_classes: int,
    warn: Callable[[str], None],
) -> latency.Table | None:
    """The table that a run decides by, or None if its config asks for none.

    It is that of `growth.latency_table`, else what is measured here. The work directory keeps that, so that the run
    decides alike when it goes on.

    Args:
      config: of the run, resolved.
      workdir: of the run; there already.
      image_shape: (height, width, channels) of the data.
      num_classes: of the data.
      warn: takes a line about damage that was mended.

    Raises:
      UserError: there is no such table, it is of something else, or the disk is full.
    """
    if config.growth.latency_table:
        return latency.given(config, image_shape)
    if config.growth.max_latency_ms is None:
        return None
    path = workdir / latency.FILE
    found = kept.read(path, latency.parsed)
    if found.value is None:
        found = kept.Found(latency.of_config(config, image_shape, num_classes))
        kept.write(path, found.value._asdict())
    kept.mend(path, found, warn)
    return latency.fitting(found.value, path, config, image_shape)
