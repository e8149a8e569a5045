"""How important each stage of a trained candidate is: one file a method, one interface.

A method is a function `(Trained, key) -> Scores`. Growth compares the scores of two candidates, never the scores of
different methods, so a method is free in its unit.
"""
from functools import partial
from typing import Callable

from jaxstage.importance.controls import random, uniform
from jaxstage.importance.interface import Scores, Trained
from jaxstage.importance.perturbation import perturbation

__all__ = ["Scores", "Trained", "method", "perturbation", "random", "uniform"]


def method(config) -> Callable:
    """The method that the config's `importance` part names, with its settings bound."""
    if config.method == "perturbation":
        return partial(perturbation, sigma=config.sigma, pairs=config.pairs)
    return {"uniform": uniform, "random": random}[config.method]
