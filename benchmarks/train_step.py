"""The training step against PyTorch: same network, optimizer, batch and augmentation, in one run, taking turns.

    python -m pip install -e ".[bench]"
    python benchmarks/train_step.py
    python benchmarks/train_step.py --depths=2,2,2 --batch=128 --torch_compile

A turn is a few steps of one side, then of the other, so that a machine whose speed drifts slows both. Images are
random: their values do not matter to the time. `share of matmul` is the step's arithmetic (3 passes of 2 operations a
MAC) over the speed of a large matrix product in the same program on the same machine.
"""
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
from absl import app, flags

from jaxstage import cost
from jaxstage.config import default
from jaxstage.data import Arrays, Normalization
from jaxstage.models import resnet
from jaxstage.train.parallel import compile_train_step, set_up
from jaxstage.train.state import init_state, make_optimizer
from jaxstage.train.step import make_train_step
from peers import TorchTraining

_DEPTHS = flags.DEFINE_multi_string("depths", ["2,2,2", "6,6,6", "10,14,8"], "blocks a stage; may be repeated")
_WIDTHS = flags.DEFINE_string("widths", "16,32,64", "filters a stage")
_BATCH = flags.DEFINE_multi_integer("batch", [128], "images a step; may be repeated")
_DTYPE = flags.DEFINE_multi_enum("dtype", ["float32"], ["float32", "bfloat16"], "of the computation")
_COMPILE = flags.DEFINE_bool("torch_compile", False, "torch.compile for the peer instead of eager mode")
_TURNS = flags.DEFINE_integer("turns", 5, "turns of each side")
_STEPS = flags.DEFINE_integer("steps", 3, "steps a turn")

EXAMPLES = 4096


class JaxTraining:
    """Our step on random images; `run(steps)` waits for the last one."""

    def __init__(self, depths, widths, batch, dtype):
        parallel = set_up("jit", 1, batch)
        module = resnet(depths, num_classes=10, widths=widths, dtype=dtype)
        optimizer = make_optimizer(default().optimizer, lambda step: 0.1)
        step = make_train_step(
            module, optimizer, Normalization(np.float32(0.5), np.float32(0.25)), crop_padding=4,
            flip=True, label_smoothing=0.0,
        )  # fmt: skip
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (EXAMPLES, 32, 32, 3), np.uint8)
        place = lambda tree: jax.device_put(tree, parallel.replicated)
        self._data = place(Arrays(images, random.integers(0, 10, EXAMPLES).astype(np.int32)))
        self._state = place(init_state(module, optimizer, (32, 32, 3), jax.random.key(0)))
        self._key, self._order = place(jax.random.key(1)), place(jnp.arange(EXAMPLES, dtype=jnp.int32))
        self._step = compile_train_step(step, parallel, batch)
        self.macs = cost.count(module).macs

    def run(self, steps: int):
        for _ in range(steps):
            self._state, _ = self._step(self._state, self._data, self._order, self._key)
        jax.block_until_ready(self._state)


def main(_):
    peak = matmul_speed()
    device = jax.devices()[0]
    print(
        f"{device.device_kind}, {torch.get_num_threads()} threads, jax {jax.__version__}, torch {torch.__version__} "
        f"({'compile' if _COMPILE.value else 'eager'}); a large matrix product runs at {peak / 1e9:,.0f} GFLOP/s"
    )
    print(f"{'depths':>12} {'batch':>5} {'dtype':>8} {'first step s':>17} {'step ms':>17} {'images/s':>17}  ratio  share of matmul")
    print(f"{'':>12} {'':>5} {'':>8} " + f"{'jaxstage':>8} {'torch':>8} " * 3)
    widths = parse(_WIDTHS.value)
    for depths in map(parse, _DEPTHS.value):
        for batch in _BATCH.value:
            for dtype in _DTYPE.value:
                compare(depths, widths, batch, dtype, peak)


def compare(depths, widths, batch, dtype, peak):
    ours = JaxTraining(depths, widths, batch, dtype)
    theirs = TorchTraining(depths, widths, batch, dtype, compiled=_COMPILE.value)
    first = [timed(side.run, 1) for side in (ours, theirs)]
    turns = [[timed(side.run, _STEPS.value) / _STEPS.value for side in (ours, theirs)] for _ in range(_TURNS.value)]
    step = [statistics.median(column) for column in zip(*turns)]
    ratio = statistics.median(a / b for a, b in turns)
    share = 6 * ours.macs * batch / step[0] / peak
    print(
        f"{','.join(map(str, depths)):>12} {batch:5} {dtype:>8} {first[0]:8.1f} {first[1]:8.1f} "
        f"{step[0] * 1e3:8.0f} {step[1] * 1e3:8.0f} {batch / step[0]:8,.0f} {batch / step[1]:8,.0f} {ratio:6.2f}  {share:.1%}",
        flush=True,
    )


def matmul_speed(size: int = 2048) -> float:
    """Operations a second of a float32 matrix product."""
    product = jax.jit(lambda a: a @ a)
    matrix = jax.block_until_ready(product(jnp.ones((size, size))))
    return 2 * size**3 / min(timed(lambda: jax.block_until_ready(product(matrix))) for _ in range(5))


def timed(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def parse(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    app.run(main)
