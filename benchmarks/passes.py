"""What trainings and searches cost, in image passes times MACs: no clock, so it does not depend on the machine.

A training step passes each image three times, forward and backward, which takes twice as much; evaluating passes it
once. The validation after each epoch is left out: it is for people to look at.
"""


def cost(config, candidates: list[dict], images: int, final: bool) -> float:
    """Image passes times MACs of the search, or of the final training.

    Args:
      config: of the run.
      candidates: as its search.json has them.
      images: training images in an epoch.
      final: which of the two.
    """
    passes = 0.0
    for candidate in candidates:
        if (candidate["role"] == "final") != final:
            continue
        epochs = config.final.epochs if final else config.candidate.epochs
        passes += 3 * epochs * images * candidate["macs"]
        if candidate["scores"]:
            examples = images if config.importance.examples is None else config.importance.examples
            passes += calibration_passes(config.importance, len(candidate["depths"])) * examples * candidate["macs"]
    return passes


def calibration_passes(importance, stages: int) -> int:
    """How often a method looks at each calibration image to score the stages of one candidate."""
    return {
        "perturbation": 2 * stages * importance.pairs + 1,
        "ablation": stages + 1,
        "pls_vip": 1,
        "uniform": 0,
        "random": 0,
    }[importance.method]
