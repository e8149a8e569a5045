"""Methods that look at nothing: what a real method has to beat."""

import jax
import numpy as np

from jaxstage.importance.interface import Scores, Trained
from jaxstage.keys import derive


def uniform(trained: Trained, key: jax.Array) -> Scores:
    """The depth itself: above 0, and higher in the probe, so every stage always grows."""
    return Scores((tuple(float(depth) for depth in trained.depths),))


def random(trained: Trained, key: jax.Array) -> Scores:
    """A draw from U(-1, 1) for each stage of each candidate: a stage grows with probability 1/2."""
    draws = jax.random.uniform(derive(key, "random", trained.name), (len(trained.depths),), minval=-1.0)
    return Scores((tuple(np.asarray(draws, np.float64).tolist()),))
