"""Training: the state, the loss, one step, the loop, and the ways to spread a step over devices."""

from jaxstage.train.state import TrainState

__all__ = ["TrainState"]
