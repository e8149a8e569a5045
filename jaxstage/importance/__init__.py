"""How important each stage of a trained candidate is: one file a method, one interface.

A method is a function `(Trained, key) -> Scores`. Growth compares the scores of two candidates, or of the stages of
one, never the scores of different methods, so a method is free in its unit.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxstage import plugins
from jaxstage.errors import UserError
from jaxstage.importance.ablation import ablation
from jaxstage.importance.controls import random, uniform
from jaxstage.importance.interface import Scores, Trained
from jaxstage.importance.perturbation import perturbation
from jaxstage.importance.pls_vip import pls_vip

__all__ = ["Scores", "Trained", "ablation", "method", "passes", "perturbation", "pls_vip", "random", "uniform"]


def method(config) -> Callable:
    """The method that the config's `importance.method` names, with its settings bound."""
    settings = config.importance
    if plugins.is_own(settings.method):
        return partial(_own, plugins.function(settings.method, "a method of importance"), settings.method)
    if settings.method == "perturbation":
        return partial(perturbation, sigma=settings.sigma, shares=settings.shares)
    if settings.method == "ablation":
        return partial(ablation, shares=settings.shares)
    return {"pls_vip": pls_vip, "uniform": uniform, "random": random}[settings.method]


def _own(function: Callable, name: str, trained: Trained, key: jax.Array) -> Scores:
    stages = len(trained.depths)
    expected = f"jaxstage.importance.Scores with {stages} finite numbers, one a stage, for each repetition"
    found = plugins.result(name, lambda: function(trained, key), Scores, expected)
    try:
        samples: Any = np.array(found.samples, np.float64)
    except (TypeError, ValueError):
        samples = np.zeros(0)
    if samples.ndim != 2 or samples.shape[1] != stages or not len(samples) or not np.isfinite(samples).all():
        raise UserError(f"{name} returned {plugins.shown(found)}: expected {expected}")
    return Scores(tuple(map(tuple, samples.tolist())))


def passes(method: str, stages: int) -> int:
    """How often a method looks at each calibration image to score the stages of one candidate.

    Of your own methods that is not known; they are taken for as costly as perturbation.
    """
    perturbed = 2 * stages + 1
    return {"ablation": stages + 1, "pls_vip": 1, "uniform": 0, "random": 0}.get(method, perturbed)
