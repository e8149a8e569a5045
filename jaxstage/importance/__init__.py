"""How important each stage of a trained candidate is: one file a method, one interface.

A method is a function `(Trained, key) -> Scores`. Growth compares the scores of two candidates, never the scores of
different methods, so a method is free in its unit.
"""
from functools import partial
from typing import Callable

from jaxstage import plugins
from jaxstage.importance.ablation import ablation
from jaxstage.importance.controls import random, uniform
from jaxstage.importance.interface import Scores, Trained
from jaxstage.importance.perturbation import perturbation
from jaxstage.importance.pls_vip import pls_vip

__all__ = ["Scores", "Trained", "ablation", "method", "perturbation", "pls_vip", "random", "uniform"]


def method(config) -> Callable:
    """The method that the config's `importance.method` names, with its settings bound."""
    settings = config.importance
    if plugins.is_own(settings.method):
        return plugins.find(settings.method)
    if settings.method == "perturbation":
        return partial(perturbation, sigma=settings.sigma, shares=settings.shares)
    if settings.method == "ablation":
        return partial(ablation, shares=settings.shares)
    return {"pls_vip": pls_vip, "uniform": uniform, "random": random}[settings.method]
