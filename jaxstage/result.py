"""A search run from Python, and what it returns."""

import os
import pathlib
import signal
from dataclasses import dataclass, field
from typing import Any

from flax import linen as nn

from jaxstage import plugins
from jaxstage.config import Config, validate
from jaxstage.errors import Stopped, UserError
from jaxstage.files import local
from jaxstage.run import run, with_pictures
from jaxstage.workdir import networks
from jaxstage.workdir import record as records
from jaxstage.workdir.claim import default_name


@dataclass(frozen=True)
class Result:
    """The network that was found, and how.

    Attributes:
      depths: blocks of each stage.
      test_accuracy: on the test split, read once.
      workdir: where everything lies.
      module, variables: the trained network, a flax.linen module with its params and batch_stats.
      metadata: as of `jaxstage.load`.
      history: search.json as plain data: `candidates` (depths, parent, cost, validation, scores, ...), `rounds` (which
        two were compared, the decision for each stage and why), stop_reason, test, seconds.
    """

    depths: tuple[int, ...]
    test_accuracy: float
    workdir: pathlib.Path
    module: nn.Module = field(repr=False)
    variables: Any = field(repr=False)
    metadata: dict = field(repr=False)
    history: dict = field(repr=False)

    @property
    def frontier(self) -> list[dict]:
        """Plain rows {by, depths, cost, loss, accuracy}, of the last elastic network: the depths that no others beat at
        their cost, the cheapest first, by each cost (macs, parameters, latency_ms); loss is fitted, accuracy None for
        what was not read. Empty under other rules than elastic.

        Example:
          pandas.DataFrame(result.frontier)
        """
        found = self._found
        return (
            [{"by": cost, **point} for cost, points in found["frontier"].items() for point in points] if found else []
        )

    @property
    def response(self) -> dict | None:
        """What added blocks take off the loss, {lower, level, gains, gain_errors} in nats; None under other rules than
        elastic. See `jaxstage.depth_search.response`."""
        return self._found["response"] if self._found else None

    @property
    def _found(self) -> dict | None:
        return next((c["found"] for c in reversed(self.history["candidates"]) if c["found"]), None)


def search(config: Config, workdir: str | os.PathLike | None = None) -> Result:
    """Searches depths and trains the network, or only trains or transfers it, as the command does.

    Example:
      config = jaxstage.config.load("configs/digits.py", {"growth.max_rounds": 2})
      result = jaxstage.search(config)
      logits = result.module.apply(result.variables, images)

    Args:
      config: see `jaxstage.config.load` and `jaxstage.config.default`; unchanged.
      workdir: where to do it; None for a directory under runs/ that belongs to this config. The same call continues an
        interrupted search, and returns at once where it is finished.

    Raises:
      UserError: see its text.
      KeyboardInterrupt: Ctrl-C or a notebook's stop button, after everything was saved.
      Stopped: SIGTERM, after everything was saved.
    """
    validate(config)
    if config.task == "evaluate":
        raise UserError("config.task='evaluate': this searches, trains and transfers; use jaxstage.evaluate.evaluate")
    config = with_pictures(config)
    name = config.data.name.replace("/", "_")
    workdir = local(workdir or default_name(name, config), "workdir")
    try:
        run(config, name, str(workdir))
    except Stopped as stopped:
        if stopped.signal != signal.SIGINT:
            raise
        raise KeyboardInterrupt("everything is saved; the same call continues") from None
    module, variables, metadata = networks.load(workdir, plugins.trusted_by(config))
    return Result(
        depths=tuple(metadata["depths"]),
        test_accuracy=metadata["test_accuracy"],
        workdir=workdir,
        module=module,
        variables=variables,
        metadata=metadata,
        history=records.plain(records.load(workdir)),
    )
