"""How long compiled networks take from pixels to logits."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxstage.data import Normalization
from jaxstage.data.augment import normalize

WARM_UP_RUNS = 3


def make_classify(module, normalization: Normalization) -> Callable:
    """Builds the compiled `classify(variables, images) -> logits`; images uint8 (n, height, width, channels)."""
    return jax.jit(lambda variables, images: module.apply(variables, normalize(images, normalization), train=False))


def latency(classify: Callable, variables: Any, image_shape: tuple[int, int, int], batch: int, runs: int) -> float:
    """Median time of one compiled forward pass from pixels on the device to logits, in milliseconds."""
    return latencies([(classify, variables)], image_shape, batch, runs)[0]


def latencies(
    networks: Sequence[tuple[Callable, Any]],
    image_shape: tuple[int, int, int],
    batch: int,
    runs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """The `latency` of several networks, which take turns, so that what disturbs the machine disturbs all of them.

    Args:
      networks: `classify` and variables of each, see `make_classify`.
      image_shape: (height, width, channels).
      batch: images.
      runs: how often each is timed; the latency is the median.
      clock: says the time in seconds.
    """
    images = jax.device_put(np.zeros((batch, *image_shape), np.uint8))
    times = [[] for _ in networks]
    for _ in range(WARM_UP_RUNS + runs):
        for (classify, variables), taken in zip(networks, times):
            start = clock()
            classify(variables, images).block_until_ready()
            taken.append(clock() - start)
    return [round(1000 * statistics.median(taken[WARM_UP_RUNS:]), 4) for taken in times]
