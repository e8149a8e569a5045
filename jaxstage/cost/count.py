"""What a network costs: parameters and multiply-accumulates, read off the traced program."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.extend.core import Literal, jaxprs_in_params

from jaxstage.devices.cpu.native.library import CONVOLUTION
from jaxstage.models import shapes_of


class Cost(NamedTuple):
    """Cost of a network, for one image where nothing else is said.

    Attributes:
      parameters: all numbers of the model, BatchNorm's running averages included (as Keras counts).
      trainable_parameters: those that the optimizer changes.
      macs: multiply-accumulates of all convolutions and dense layers.
      separable_macs: those of them in separable convolutions. The paper's figures leave these out: compare them with
        macs - separable_macs.
      latency_ms: milliseconds for a batch, by a `jaxstage.cost.latency.Table`; None where nobody measured one.
    """

    parameters: int
    trainable_parameters: int
    macs: int
    separable_macs: int = 0
    latency_ms: float | None = None

    def known(self) -> dict[str, int | float]:
        """By name, without a latency that nobody measured."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def count(module: nn.Module, input_shape: tuple[int, int, int] = (32, 32, 3)) -> Cost:
    """Counts a module's parameters and MACs without computing anything.

    The MACs come from the shapes of every convolution and matrix product in the traced evaluation, so they hold for
    any module whatever it is built of.

    Args:
      module: called as `module.apply(variables, images, train=False)`.
      input_shape: (height, width, channels) of one image.
    """
    images = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    variables = shapes_of(module, input_shape)
    jaxpr = jax.make_jaxpr(lambda v, x: module.apply(v, x, train=False))(variables, images)
    size = lambda tree: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
    macs, separable_macs, _ = _macs(jaxpr.jaxpr)
    return Cost(size(variables), size(variables["params"]), macs, separable_macs)


def _macs(jaxpr) -> tuple[int, int, list[bool]]:
    """MACs of a program, those in separable convolutions, and which outputs come straight from a depthwise one.

    A separable convolution is a depthwise (grouped) one and the convolution that takes its output directly.
    """
    total, separable, depthwise = 0, 0, set()
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            macs, grouped = _convolution_macs(equation), equation.params["feature_group_count"] > 1
            total += macs
            separable += macs if grouped or equation.invars[0] in depthwise else 0
            depthwise |= set(equation.outvars) if grouped else set()
        elif equation.params.get("target_name") == CONVOLUTION:
            total += math.prod(equation.outvars[0].aval.shape) * math.prod(equation.invars[1].aval.shape[:-1])
        elif equation.primitive.name == "dot_general":
            total += _dot_macs(equation)
        elif equation.primitive.name == "optimization_barrier":
            depthwise |= {after for before, after in zip(equation.invars, equation.outvars) if before in depthwise}
        else:
            inner = [_macs(inner) for inner in jaxprs_in_params(equation.params)]
            if equation.primitive.name == "cond":  # forms of one computation, the last of which is no platform's own
                inner = inner[-1:]
            for inner_total, inner_separable, straight in inner:
                total, separable = total + inner_total, separable + inner_separable
                depthwise |= {output for output, is_straight in zip(equation.outvars, straight) if is_straight}
    return total, separable, [not isinstance(output, Literal) and output in depthwise for output in jaxpr.outvars]


def _convolution_macs(equation) -> int:
    """Output elements times the inputs that each one sums over."""
    kernel = equation.invars[1].aval.shape
    filters = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) // filters


def _dot_macs(equation) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
