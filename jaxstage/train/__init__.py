"""Training: the state, the loss, one step, the loop, and the two ways that examples come to the devices."""

from jaxstage.train.state import TrainState

__all__ = ["TrainState"]
