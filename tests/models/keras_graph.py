"""A small interpreter of Keras's to_json, in NumPy: the computation that the module is compared with."""

import gzip
import json
import math

import numpy as np


def read(path) -> list[dict]:
    """The layers in an order in which each follows its inputs."""
    waiting = {layer["name"]: layer for layer in json.loads(gzip.decompress(path.read_bytes()))["config"]["layers"]}
    done = {}
    while waiting:
        ready = [name for name, layer in waiting.items() if all(source in done for source in inputs(layer))]
        for name in ready:
            done[name] = waiting.pop(name)
    return list(done.values())


def inputs(layer: dict) -> list[str]:
    return [source[0] for node in layer["inbound_nodes"] for source in node]


def channels(layers: list[dict]) -> dict[str, int]:
    """Channels of each layer's output."""
    known = {}
    for layer in layers:
        config, sources = layer["config"], [known[name] for name in inputs(layer)]
        match layer["class_name"]:
            case "InputLayer":
                known[layer["name"]] = config["batch_input_shape"][-1]
            case "Conv2D" | "SeparableConv2D":
                known[layer["name"]] = config["filters"]
            case "Dense":
                known[layer["name"]] = config["units"]
            case "Concatenate":
                known[layer["name"]] = sum(sources)
            case _:
                known[layer["name"]] = sources[0]
    return known


def random_weights(layers: list[dict], seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Weights by layer and name, such that activations neither vanish nor explode."""
    rng, known, weights = np.random.default_rng(seed), channels(layers), {}
    kernel = lambda *shape: rng.normal(0, math.sqrt(2 / math.prod(shape[:-1])), shape).astype(np.float32)
    for layer in layers:
        config, name = layer["config"], layer["name"]
        before = known[inputs(layer)[0]] if inputs(layer) else None
        match layer["class_name"]:
            case "Conv2D":
                weights[name] = {"kernel": kernel(*config["kernel_size"], before, config["filters"])}
            case "SeparableConv2D":
                depthwise = kernel(*config["kernel_size"], 1, before).transpose(0, 1, 3, 2)
                weights[name] = {
                    "depthwise_kernel": depthwise,
                    "pointwise_kernel": kernel(1, 1, before, config["filters"]),
                }
            case "BatchNormalization":
                draw = lambda low, high: rng.uniform(low, high, before).astype(np.float32)
                weights[name] = {
                    "gamma": draw(0.5, 1),
                    "beta": draw(-0.5, 0.5),
                    "moving_mean": draw(-0.5, 0.5),
                    "moving_variance": draw(0.5, 2),
                }
            case "Dense":
                weights[name] = {"kernel": kernel(before, config["units"]), "bias": kernel(config["units"])}
    return weights


def compute(layers: list[dict], weights: dict[str, dict[str, np.ndarray]], images: np.ndarray) -> np.ndarray:
    """Output of the last layer before its activation, float64, for images (n, height, width, channels)."""
    values = {}
    for layer in layers:
        name, sources = layer["name"], [values[source] for source in inputs(layer)]
        values[name] = _layer(layer, weights.get(name), *sources) if sources else images.astype(np.float64)
    return values[layers[-1]["name"]]


def _layer(layer: dict, weights: dict, x: np.ndarray, *more: np.ndarray) -> np.ndarray:
    config = layer["config"]
    match layer["class_name"]:
        case "Activation":
            assert config["activation"] == "relu"
            return np.maximum(x, 0)
        case "Conv2D":
            assert config["activation"] == "linear" and not config["use_bias"]
            return np.einsum("nhwcij,ijco->nhwo", _windows(x, config, "kernel_size"), weights["kernel"], optimize=True)
        case "SeparableConv2D":
            windows = _windows(x, config, "kernel_size")
            x = np.einsum("nhwcij,ijcm->nhwc", windows, weights["depthwise_kernel"], optimize=True)
            return x @ weights["pointwise_kernel"][0, 0]
        case "BatchNormalization":
            deviation = np.sqrt(weights["moving_variance"].astype(np.float64) + config["epsilon"])
            return (x - weights["moving_mean"]) / deviation * weights["gamma"] + weights["beta"]
        case "MaxPooling2D":
            return _windows(x, config, "pool_size", border=-np.inf).max((-2, -1))
        case "AveragePooling2D":
            return np.nanmean(_windows(x, config, "pool_size", border=np.nan), (-2, -1))
        case "Add":
            return x + more[0]
        case "Concatenate":
            return np.concatenate([x, *more], axis=-1)
        case "ZeroPadding2D":
            return np.pad(x, ((0, 0), *config["padding"], (0, 0)))
        case "Cropping2D":
            (top, bottom), (left, right) = config["cropping"]
            return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]
        case "GlobalAveragePooling2D":
            return x.mean((1, 2))
        case "Dropout":
            return x
        case "Dense":
            return x @ weights["kernel"] + weights["bias"]
    raise NotImplementedError(layer["class_name"])


def _windows(x: np.ndarray, config: dict, size: str, border: float = 0.0) -> np.ndarray:
    """(n, height, width, channels, window height, window width) with TensorFlow's padding: the odd pixel at the end."""
    size, strides = config[size], config["strides"]
    if config["padding"] == "same":
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[1:3], size, strides)]
        pad = [(missing // 2, missing - missing // 2) for missing in total]
        x = np.pad(x, ((0, 0), *pad, (0, 0)), constant_values=border)
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return windows[:, :: strides[0], :: strides[1]]
