"""What training runs and searches cost, in image passes times MACs: no clock, so it does not depend on the machine.

A training step passes each image three times, forward and backward, which takes twice as much; scoring passes it once.
The validation after each epoch is left out, and so is the scoring that decides on growth.stop_probe.
"""

from jaxstage.importance import passes


def cost(config, candidates: list[dict], final: bool) -> float:
    """Image passes times MACs of the search, or of the final training.

    Args:
      config: of the run; with importance.examples None the scoring passes the images of one epoch.
      candidates: as its search.json has them, all trained.
      final: which of the two.
    """
    total = 0.0
    for candidate in candidates:
        if (candidate["role"] == "final") != final:
            continue
        total += 3 * candidate["steps"] * config.batch_size * candidate["macs"]
        if candidate["scores"]:
            examples = config.importance.examples or candidate["steps"] // config.candidate.epochs * config.batch_size
            looks = passes(config.importance.method, len(candidate["depths"]))
            total += looks * examples * candidate["macs"]
    return total
