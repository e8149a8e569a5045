"""What goes into an importance method and what comes out."""

from typing import Any, NamedTuple

import jax
from flax import linen as nn

from jaxstage.data import Arrays, Normalization
from jaxstage.data.augment import normalize
from jaxstage.train.loss import cross_entropy
from jaxstage.workdir.findings import Scores, standard_error

__all__ = ["Scores", "Trained", "share", "share_loss", "standard_error"]


class Trained(NamedTuple):
    """A trained candidate with the data that its stages are judged on.

    Attributes:
      name: of the candidate, unique in its search.
      module, variables: the network.
      depths: blocks of each stage.
      calibration: fixed examples of the training data, on the device, in no order.
      normalization: of the images.
      added: how many blocks at the end of each stage the probe has more than the current candidate, when these alone
        are to be scored; None: whole stages are.
    """

    name: str
    module: nn.Module
    variables: Any
    depths: tuple[int, ...]
    calibration: Arrays
    normalization: Normalization
    added: tuple[int, ...] | None = None

    @property
    def scored(self) -> tuple[range, ...]:
        """Which blocks of each stage the scores are about."""
        return tuple(range(depth - new, depth) for depth, new in zip(self.depths, self.added or self.depths))


def share(calibration: Arrays, shares: int, number: int | jax.Array) -> Arrays:
    """One of `shares` equal shares of the calibration set; the few examples that are over are in none.

    Every `shares`-th example from `number` on: of a set that is split over devices, each takes its own ones.
    """
    size = calibration.size // shares

    def pick(array):
        return array[: size * shares].reshape(size, shares, *array.shape[1:])[:, number]

    return Arrays(pick(calibration.image), pick(calibration.label))


def share_loss(
    trained: Trained, variables: Any, calibration: Arrays, shares: int, number: int | jax.Array
) -> jax.Array:
    """Mean cross-entropy over a share of the calibration set, nats, in evaluation mode.

    Args:
      trained: the network.
      variables: in the place of its own.
      calibration, shares, number: see `share`.
    """
    data = share(calibration, shares, number)
    logits: Any = trained.module.apply(variables, normalize(data.image, trained.normalization), train=False)
    return cross_entropy(logits, data.label).mean()
