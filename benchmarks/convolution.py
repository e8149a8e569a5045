"""One convolution at a time: our own kernels for CPUs, XLA's, and PyTorch's (oneDNN, channels_last).

    python -m pip install -e ".[bench]"
    python -m benchmarks.convolution

Prints the least milliseconds of --rounds calls, by turns in one process, of the forward pass and of the gradient of the
weights, for those convolutions of a residual network that repeat. Needs a C++ compiler.
"""

import functools
import time

from absl import app, flags, logging

from jaxstage.devices.cpu.host_memory import use_huge_pages

_BATCH = flags.DEFINE_integer("batch", 128, "images")
_ROUNDS = flags.DEFINE_integer("rounds", 30, "calls of each side")

SHAPES = ((32, 16), (16, 32), (8, 64))  # pixels a side, channels in and out


def main(_):
    logging.set_verbosity(logging.FATAL)
    print(f"{'images':>8} {'channels':>8} {'forward ms':>30} {'gradient of the weights ms':>30}")
    print(f"{'':>8} {'':>8} " + f"{'native':>10} {'xla':>9} {'torch':>9} " * 2)
    for size, channels in SHAPES:
        forward, backward = (by_turns(functions) for functions in sides(size, channels))
        print(f"{size:>5}^2  {channels:>8} " + " ".join(f"{ms:>10.2f}" for ms in (*forward, *backward)), flush=True)


def sides(size: int, channels: int) -> tuple[list, list]:
    """Functions that compute and wait: forward passes and gradients of the weights, each by native, xla and torch."""
    import jax
    import numpy as np
    import torch
    from jax import lax

    from jaxstage.devices.cpu.native import native_convolution

    random = np.random.default_rng(0)
    images, cotangent = (random.standard_normal((_BATCH.value, size, size, channels), np.float32) for _ in range(2))
    kernel = random.standard_normal((3, 3, channels, channels), np.float32)
    forward, backward = [], []
    for convolve in (native_convolution, lax.conv_general_dilated):
        layer = functools.partial(
            convolve, window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        gradient = lambda x, k, g, layer=layer: jax.vjp(lambda k: layer(x, k), k)[1](g)[0]
        for functions, program, arguments in (
            (forward, jax.jit(layer), (images, kernel)),
            (backward, jax.jit(gradient), (images, kernel, cotangent)),
        ):
            call = functools.partial(program, *map(jax.device_put, arguments))
            functions.append(lambda call=call: jax.block_until_ready(call()))
    last = lambda array, axes: torch.tensor(array).permute(axes).contiguous(memory_format=torch.channels_last)
    x, k, g = last(images, (0, 3, 1, 2)), last(kernel, (3, 2, 0, 1)), last(cotangent, (0, 3, 1, 2))
    forward.append(lambda: torch.nn.functional.conv2d(x, k, padding=1))
    backward.append(lambda: torch.nn.grad.conv2d_weight(x, k.shape, g, padding=1))
    return forward, backward


def by_turns(functions: list) -> list[float]:
    """The least milliseconds of each."""
    least = [float("inf")] * len(functions)
    for _ in range(_ROUNDS.value):
        for place, function in enumerate(functions):
            start = time.perf_counter()
            function()
            least[place] = min(least[place], 1e3 * (time.perf_counter() - start))
    return least


if __name__ == "__main__":
    use_huge_pages()
    app.run(main)
