"""A stage grows if its score rises from the current candidate to the probe."""

import numpy as np

from jaxstage.depth_search.rules.by_scores import ByScores
from jaxstage.importance.interface import Scores, standard_error


def rises(before: Scores, after: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Rise of every stage's score with its standard error, each float64 (stages,).

    Samples of both candidates that come from the same draws and images are subtracted from each other.
    """
    difference = np.array(after.samples) - np.array(before.samples)
    return difference.mean(axis=0), standard_error(difference)


RULE = ByScores("rise", rises, probes=True)
