"""Model families: pure functions from a depths tuple to a flax.linen module."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxstage import plugins
from jaxstage.models.mobilenet import mobilenet
from jaxstage.models.naming import BLOCK_OUTPUT, HEAD, RESIDUAL_NORM, block_name, parse_block
from jaxstage.models.nasnet import nasnet
from jaxstage.models.resnet import resnet

FAMILIES = {"mobilenet": mobilenet, "nasnet": nasnet, "resnet": resnet}

__all__ = [
    "BLOCK_OUTPUT",
    "FAMILIES",
    "HEAD",
    "RESIDUAL_NORM",
    "block_name",
    "build",
    "mobilenet",
    "nasnet",
    "parse_block",
    "resnet",
    "shapes_of",
]


def shapes_of(module: nn.Module, image_shape: Sequence[int]) -> Any:
    """Shapes and dtypes of a network's params and batch_stats, without computing any; image_shape without the batch."""
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), image)


def build(
    options: dict, depths: tuple[int, ...], num_classes: int, axis_name: str | None = None, convolutions: str = "xla"
) -> nn.Module:
    """The module that a config's `model` part describes, at other depths.

    Args:
      options: the `model` part as a plain dict; its own `depths` are ignored, and so is what the family does not have.
      depths: blocks of each stage.
      num_classes: size of the logits.
      axis_name: pmap axis over which BatchNorm averages, or None.
      convolutions: what computes them, xla or native, in the families that have the choice.

    Raises:
      UserError: a family of one's own raises an error, or returns something else.
    """
    name = options["family"]
    own = plugins.is_own(name)
    expected = "a function from depths to a flax.linen module"
    family = plugins.function(name, expected) if own else FAMILIES[name]
    known = inspect.signature(family).parameters
    widths = tuple(options["widths"])  # a list where the options come from JSON
    options = {**options, "widths": widths, "convolutions": convolutions}
    options = {key: value for key, value in options.items() if key in known and key != "depths"}
    make: Callable[[], Any] = lambda: family(tuple(depths), num_classes=num_classes, axis_name=axis_name, **options)
    return plugins.result(name, make, nn.Module, "a flax.linen module") if own else make()
