"""What the actions of a search cost on any machine: multiply-accumulates."""

from collections.abc import Sequence

from jaxstage import importance
from jaxstage.depth_search.bench import Bench
from jaxstage.depths import Depths
from jaxstage.workdir.record import Candidate


def training_work(bench: Bench, candidate: Candidate, steps: int) -> float:
    """So many steps, and the validations between them."""
    states = bench.states(candidate)
    states = bench.programs.deck(states).states if states else (candidate.depths,)
    epochs = steps // bench.steps_per_epoch
    images = 3 * steps * bench.config.batch_size + epochs * bench.dataset.validation.size  # backward costs two passes
    return _macs(bench, states) / len(states) * float(images)


def scoring_work(bench: Bench, candidate: Candidate) -> float:
    """The importance of all stages."""
    looks = importance.passes(bench.config.importance.method, len(candidate.depths))
    return candidate.macs * float(looks * bench.calibration_size)


def reading_work(bench: Bench, states: Sequence[Depths]) -> float:
    """Reading states of an elastic network."""
    return _macs(bench, states) * float(bench.calibration_size + bench.judged_on().size)


def _macs(bench: Bench, states: Sequence[Depths]) -> int:
    """Of one image in each state; what is off costs nothing."""
    return sum(bench.cost_of(depths).macs for depths in states)
