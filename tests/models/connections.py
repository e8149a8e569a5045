"""What feeds what: read off a Keras JSON, and off the traced program of a Flax module, in the same words.

For every convolution and dense layer: the sorted paths from the layers before it, each with what lies on the way (norms
by name, ReLU, pooling, the place in a concatenation). Sums have no word of their own, they join paths.
"""

import jax
import jax.numpy as jnp
from jax.extend.core import Var, jaxprs_in_params
from keras_graph import inputs

from jaxstage.interop.keras_names import canonical, keras_weight

CALLS = ("pjit", "jit", "custom_jvp_call")


def of_keras(layers: list[dict]) -> dict[str, tuple]:
    found, paths = {}, {}
    for layer in layers:
        name, config = layer["name"], layer["config"]
        sources = [paths[source] for source in inputs(layer)]
        match layer["class_name"]:
            case "InputLayer":
                paths[name] = [("input",)]
            case "Conv2D" | "SeparableConv2D" | "Dense":
                shape = (tuple(config.get("kernel_size", ())), tuple(config.get("strides", ())))
                found[canonical(name)] = (sorted(sources[0]), *shape)
                paths[name] = [(canonical(name),)]
            case "BatchNormalization":
                paths[name] = _extended(sources[0], f"norm {canonical(name)}")
            case "Activation":
                paths[name] = _extended(sources[0], config["activation"])
            case "MaxPooling2D":
                paths[name] = _extended(sources[0], f"max {config['pool_size']} {config['strides']}")
            case "AveragePooling2D" if config["pool_size"] == [1, 1]:
                paths[name] = _extended(sources[0], f"every {config['strides']}")
            case "AveragePooling2D":
                paths[name] = _extended(sources[0], f"average {config['pool_size']} {config['strides']}")
            case "ZeroPadding2D":
                paths[name] = _extended(sources[0], "shifted")
            case "GlobalAveragePooling2D":
                paths[name] = _extended(sources[0], "mean")
            case "Concatenate":
                paths[name] = [path for n, source in enumerate(sources) for path in _extended(source, f"part {n}")]
            case "Add" | "Cropping2D" | "Dropout":
                paths[name] = [path for source in sources for path in source]
    return found


def of_module(module, family: str, depths: tuple[int, ...], image_shape: tuple[int, int, int]) -> dict[str, tuple]:
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), images)
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    names = [keras_weight(tuple(part.key for part in path), family, depths) for path, _ in leaves]
    jaxpr = jax.make_jaxpr(lambda v, x: module.apply(v, x, train=False))(variables, images)
    found = {}
    _walk(jaxpr.jaxpr, [_Parameters({name}) for name in names] + [[("input",)]], found)
    return found


class _Parameters(set):
    """(layer, weight) names that a value was computed from; a list of paths stands for data."""


def _walk(jaxpr, values: list, found: dict) -> list:
    known = dict(zip(jaxpr.invars, values))
    value = lambda atom: known.get(atom, _Parameters()) if isinstance(atom, Var) else _Parameters()
    for equation in jaxpr.eqns:
        operands = list(map(value, equation.invars))
        if equation.primitive.name == "cond":  # a form for each kind of device: one is a grouped convolution
            grouped = lambda branch: any(e.params.get("feature_group_count", 1) > 1 for e in branch.eqns)
            (chosen,) = filter(grouped, (branch.jaxpr for branch in equation.params["branches"]))
            known |= dict(zip(equation.outvars, _walk(chosen, operands[1:], found)))
            continue
        if equation.primitive.name in CALLS:
            results = _walk(next(jaxprs_in_params(equation.params)), operands, found)
        else:
            results = [_apply(equation, operands, found)]
        known |= dict(zip(equation.outvars, results))
    return list(map(value, jaxpr.outvars))


def _apply(equation, operands: list, found: dict):
    data = [operand for operand in operands if isinstance(operand, list)]
    parameters = _Parameters().union(*(operand for operand in operands if isinstance(operand, _Parameters)))
    if not data:
        return _Parameters(parameters)
    name, params = equation.primitive.name, equation.params
    if name in ("conv_general_dilated", "dot_general"):
        ((layer, weight),) = parameters
        if weight != "pointwise_kernel":
            kernel = equation.invars[1].aval.shape[:2] if name == "conv_general_dilated" else ()
            found[layer] = (sorted(data[0]), tuple(kernel), tuple(params.get("window_strides", ())))
        else:
            assert data[0] == [(layer,)]
        return [(layer,)]
    if name == "concatenate":
        return [path for n, source in enumerate(data) for path in _extended(source, f"part {n}")]
    if name == "max":
        return _extended(data[0], "relu")
    if name in ("reduce_window_max", "reduce_window_sum", "reduce_window"):
        kind = "max" if "max" in name else "average"
        return _extended(data[0], f"{kind} {_middle(params['window_dimensions'])} {_middle(params['window_strides'])}")
    if name == "slice" and params["strides"]:
        return _extended(data[0], f"every {_middle(params['strides'])}")
    if name == "pad":
        return _extended(data[0], "shifted")
    if name == "reduce_sum":
        return _extended(data[0], "mean")
    if means := [layer for layer, weight in parameters if weight == "moving_mean"]:
        return _extended(data[0], f"norm {means[0]}")
    return [path for source in data for path in source]


def _extended(paths: list[tuple], word: str) -> list[tuple]:
    return [(*path, word) for path in paths]


def _middle(numbers) -> list[int]:
    return list(numbers)[1:3]
