"""How a candidate comes up."""

from jaxstage.depth_search.limits import CostOf
from jaxstage.depths import Depths
from jaxstage.workdir.record import SOURCE, Candidate


def new_candidate(name: str, role: str, depths: Depths, parent: str | None, config, cost_of: CostOf) -> Candidate:
    """A candidate before anything was done with it."""
    cost = cost_of(depths)
    if config.inherit.method == "scratch" and parent != SOURCE:
        parent = None
    return Candidate(
        name,
        role,
        tuple(depths),
        parent,
        cost.parameters,
        cost.macs,
        separable_macs=cost.separable_macs,
        latency_ms=cost.latency_ms,
    )
