"""The paper's rule: a stage grows if its score rises from the current candidate to the probe, relative to its value."""

import numpy as np

from jaxstage.depth_search.rules.absolute_rise import rises
from jaxstage.depth_search.rules.by_scores import ByScores
from jaxstage.importance.interface import Scores


def relative_rises(before: Scores, after: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Rise of every stage's score as a part of the score before, with its standard error, each float64 (stages,).

    It is divided by the score's standard error where the score is smaller than that.
    """
    rise, error = rises(before, after)
    scale = np.maximum(np.abs(before.values), before.errors)
    scale = np.where(scale > 0, scale, 1.0)
    return rise / scale, error / scale


RULE = ByScores("rise", relative_rises, probes=True)
