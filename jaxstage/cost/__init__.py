"""What a network costs: MACs and parameters, counted (`count`), and milliseconds, measured (`latency`)."""

from jaxstage.cost.count import Cost, count

__all__ = ["Cost", "count"]
