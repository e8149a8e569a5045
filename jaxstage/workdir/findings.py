"""What was found out about candidates, as plain data for the record: scores of stages, readings of elastic networks."""

from dataclasses import dataclass

import numpy as np

from jaxstage.depths import Depths


@dataclass(frozen=True)
class Scores:
    """Importance of every stage, in the unit of its method.

    Attributes:
      samples: one tuple of stages for each share of the calibration set, or one in all. Equal samples of two
        candidates come from the same images and the same draws, so their difference has less noise than either.
    """

    samples: tuple[tuple[float, ...], ...]

    @property
    def values(self) -> np.ndarray:
        """Mean over the samples, float64 (stages,)."""
        return np.mean(self.samples, axis=0)

    @property
    def errors(self) -> np.ndarray:
        """Standard error of `values`, float64 (stages,); 0 for a method that gives one sample."""
        return standard_error(np.array(self.samples))


@dataclass(frozen=True)
class State:
    """What was found out about one state.

    Attributes:
      depths: the blocks that are on.
      loss, error: mean cross-entropy in nats, and the standard error of what it differs by from the mean of all states.
      accuracy: share that was classified rightly.
      fitted: loss by the response.
      parameters, macs, latency_ms: of the network of these depths; the latency None if nobody asked for it.
    """

    depths: Depths
    loss: float
    error: float
    accuracy: float
    fitted: float
    parameters: int
    macs: int
    latency_ms: float | None = None

    @property
    def validation(self) -> dict[str, float]:
        return {"loss": self.loss, "accuracy": self.accuracy}


@dataclass(frozen=True)
class Fitted:
    """A response, see `jaxstage.depth_search.response.Response`, with standard errors of its gains."""

    lower: Depths
    level: float
    gains: tuple[tuple[float, ...], ...]
    gain_errors: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Findings:
    """What an elastic network says about depths; plain data, see search.json.

    Attributes:
      states: all that were read.
      response: fitted to them; its errors by resampling the images.
      importance, importance_errors: what the loss loses without a stage's added blocks, nats.
      frontier: {cost: its points, the cheapest first}; a point {depths, cost, loss (fitted), accuracy (None: not
        read)}.
      chosen: depths.
      why: they and no others.
    """

    states: tuple[State, ...]
    response: Fitted
    importance: tuple[float, ...]
    importance_errors: tuple[float, ...]
    frontier: dict[str, tuple[dict, ...]]
    chosen: Depths
    why: str

    def of(self, depths: Depths) -> State | None:
        """What was read of some depths; None if they were not."""
        return next((state for state in self.states if state.depths == depths), None)


def standard_error(samples: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis; 0 where there is one sample only."""
    n = samples.shape[0]
    return samples.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(samples.shape[1:])
