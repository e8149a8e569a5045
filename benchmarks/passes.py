"""What trainings and searches cost, in image passes times MACs: no clock, so it does not depend on the machine.

A training step passes each image three times, forward and backward, which takes twice as much; scoring passes it once.
The validation after each epoch is left out, and so is the scoring that decides on growth.stop_probe.
"""


def cost(config, candidates: list[dict], final: bool) -> float:
    """Image passes times MACs of the search, or of the final training.

    Args:
      config: of the run; with importance.examples None the scoring passes the images of one epoch.
      candidates: as its search.json has them, all trained.
      final: which of the two.
    """
    passes = 0.0
    for candidate in candidates:
        if (candidate["role"] == "final") != final:
            continue
        passes += 3 * candidate["steps"] * config.batch_size * candidate["macs"]
        if candidate["scores"]:
            examples = config.importance.examples or candidate["steps"] // config.candidate.epochs * config.batch_size
            looks = calibration_passes(config.importance.method, len(candidate["depths"]))
            passes += looks * examples * candidate["macs"]
    return passes


def calibration_passes(method: str, stages: int) -> int:
    """How often a method looks at each calibration image to score the stages of one candidate."""
    return {"perturbation": 2 * stages + 1, "ablation": stages + 1, "pls_vip": 1, "uniform": 0, "random": 0}[method]
