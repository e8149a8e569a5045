"""A stage grows if its score falls short of the stages' mean; without any probe."""

import numpy as np

from jaxstage.depth_search.rules.by_scores import ByScores
from jaxstage.importance.interface import Scores, standard_error


def shortfalls(before: Scores, _: Scores | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How far every stage's score lies below the mean of all, with its standard error, each float64 (stages,).

    The stages of a sample were scored on the same images, so they are subtracted from each other sample by sample.
    """
    samples = np.array(before.samples)
    difference = samples.mean(axis=1, keepdims=True) - samples
    return difference.mean(axis=0), standard_error(difference)


RULE = ByScores("shortfall", shortfalls, probes=False)
