"""The training step against PyTorch: same network, optimizer, batch and augmentation, in one run, taking turns.

    python -m pip install -e ".[bench]"
    python -m benchmarks.train_step
    python -m benchmarks.train_step --depths=2,2,2 --batch=128 --torch_compile
    python -m benchmarks.train_step --convolutions=native      # on a CPU, with our own kernels

Each side runs in a process of its own, as its users start it, and waits while the other has its turn of a few steps, so
that a machine whose speed drifts slows both. Images are random: their values do not matter to the time.

MFU is the step's arithmetic (3 passes of 2 operations a MAC) over the speed of a large matrix product of the same type
on the same machine. Memory is the device's peak; on a CPU, what the process's resident size rose by from before the
network was built.
"""

import multiprocessing
import os
import resource
import statistics
import time
from unittest import mock

from absl import app, flags, logging

from jaxstage.devices.cpu.host_memory import TUNABLES, wanted_tunables

_DEPTHS = flags.DEFINE_multi_string("depths", ["2,2,2", "6,6,6", "10,14,8"], "blocks a stage; may be repeated")
_WIDTHS = flags.DEFINE_string("widths", "16,32,64", "filters a stage")
_BATCH = flags.DEFINE_multi_integer("batch", [128], "images a step; may be repeated")
_DTYPE = flags.DEFINE_multi_enum("dtype", ["float32"], ["float32", "bfloat16"], "of the computation")
_CONVOLUTIONS = flags.DEFINE_enum("convolutions", "xla", ["xla", "native"], "who computes ours, see config.md")
_COMPILE = flags.DEFINE_bool("torch_compile", False, "torch.compile for the peer instead of eager mode")
_HUGE_PAGES = flags.DEFINE_bool("peer_huge_pages", False, "start the peer with the malloc setting that jaxstage has")
_TURNS = flags.DEFINE_integer("turns", 5, "turns of each side")
_STEPS = flags.DEFINE_integer("steps", 3, "steps a turn")

EXAMPLES = 4096
HEADINGS = ("first step s", "step ms", "images/s", "MFU", "memory MiB")


class JaxTraining:
    """Our step on random images; `run(steps)` waits for the last one."""

    def __init__(self, depths, widths, batch: int, dtype: str, convolutions: str):
        import jax
        import numpy as np

        from jaxstage.config import default
        from jaxstage.data import Arrays, Normalization
        from jaxstage.data.augment import Augmentation
        from jaxstage.devices.mesh import set_up
        from jaxstage.models import resnet
        from jaxstage.train import resident
        from jaxstage.train.state import init_state, make_optimizer
        from jaxstage.train.step import Recipe, make_train_step

        parallel = set_up("jit", 1, batch)
        module = resnet(depths, num_classes=10, widths=widths, dtype=dtype, convolutions=convolutions)
        optimizer = make_optimizer(default().optimizer)
        step = make_train_step(
            module,
            optimizer,
            Normalization(np.float32(0.5), np.float32(0.25)),
            Recipe(Augmentation(crop_padding=4, flip=True)),
        )
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (EXAMPLES, 32, 32, 3), np.uint8)
        place = lambda tree: jax.device_put(tree, parallel.replicated)
        data = place(Arrays(images, random.integers(0, 10, EXAMPLES).astype(np.int32)))
        self._state = place(init_state(module, optimizer, (32, 32, 3), jax.random.key(0)))
        self._key, self._steps_per_epoch, self._done = place(jax.random.key(1)), EXAMPLES // batch, 0
        rates = np.full(1000 * self._steps_per_epoch, 0.1, np.float32)
        self._feed = resident.Feed(data, self._key, parallel, batch, rates)
        self._at_once = resident.steps_at_once(None, data)
        self._program, self._wait = resident.compile_step(step, parallel, batch, self._at_once), jax.block_until_ready

    def run(self, steps: int):
        end = self._done + steps
        while self._done < end:
            count = min(end - self._done, self._at_once, self._steps_per_epoch - self._done % self._steps_per_epoch)
            self._state, _ = self._program(self._state, *self._feed(self._done, count), self._key)
            self._done += count
        self._wait(self._state)

    def peak_bytes(self) -> int | None:
        """Of the device, or None on a CPU."""
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


class Side:
    """A training run in a process of its own, which sleeps between its turns."""

    def __init__(self, training: str, arguments: tuple, tunables: str | None):
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, training, arguments), daemon=True
        )
        with mock.patch.dict(os.environ, {TUNABLES: tunables} if tunables else {}):  # glibc reads it at the start
            self._process.start()
        self.matmul, self.first_step = self._pipe.recv()

    def turn(self, steps: int) -> float:
        """Seconds a step."""
        self._pipe.send(steps)
        return self._pipe.recv()

    def close(self) -> float:
        """Ends it; returns the MiB that it needed at most."""
        self._pipe.send(None)
        memory = self._pipe.recv()
        self._process.join()
        return memory / 2**20


def serve(pipe, training: str, arguments: tuple):
    """What a side's process does: builds its training, then runs as many steps as it is told."""
    if training == "jaxstage":
        build, matmul = JaxTraining, jax_matmul(arguments[3])
    else:
        from benchmarks.peers import TorchTraining as build
        from benchmarks.peers import matmul_speed

        matmul = matmul_speed(arguments[3])
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    side = build(*arguments)
    side.run(1)
    pipe.send((matmul, time.perf_counter() - start))
    while steps := pipe.recv():
        start = time.perf_counter()
        side.run(steps)
        pipe.send((time.perf_counter() - start) / steps)
    pipe.send(side.peak_bytes() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident)


def jax_matmul(dtype: str, size: int = 2048) -> float:
    """Operations a second of a matrix product."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(lambda a: a @ a)
    matrix = jax.block_until_ready(product(jnp.ones((size, size), dtype)))
    return 2 * size**3 / min(timed(lambda: jax.block_until_ready(product(matrix))) for _ in range(5))


def main(_):
    logging.set_verbosity(logging.FATAL)
    print(f"{'depths':>12} {'batch':>5} {'dtype':>8} " + " ".join(f"{name:>15}" for name in HEADINGS) + "  ratio")
    print(f"{'':>12} {'':>5} {'':>8} " + f"{'jaxstage':>8} {'torch':>6} " * len(HEADINGS), flush=True)
    widths = parse(_WIDTHS.value)
    for depths in map(parse, _DEPTHS.value):
        for batch in _BATCH.value:
            for dtype in _DTYPE.value:
                compare(depths, widths, batch, dtype)


def compare(depths, widths, batch: int, dtype: str):
    from jaxstage import cost
    from jaxstage.models import resnet

    tunables = wanted_tunables()
    arguments = (depths, widths, batch, dtype)
    sides = [
        Side("jaxstage", (*arguments, _CONVOLUTIONS.value), tunables),
        Side("torch", (*arguments, _COMPILE.value), tunables if _HUGE_PAGES.value else None),
    ]
    turns = [[side.turn(_STEPS.value) for side in sides] for _ in range(_TURNS.value)]
    memory = [side.close() for side in sides]
    step = [statistics.median(column) for column in zip(*turns)]
    operations = 6 * cost.count(resnet(depths, num_classes=10, widths=widths)).macs * batch
    peak = max(side.matmul for side in sides)
    columns = [
        [f"{side.first_step:.1f}" for side in sides],
        [f"{seconds * 1e3:.0f}" for seconds in step],
        [f"{batch / seconds:,.0f}" for seconds in step],
        [f"{operations / seconds / peak:.0%}" for seconds in step],
        [f"{mib:,.0f}" for mib in memory],
    ]
    print(
        f"{','.join(map(str, depths)):>12} {batch:5} {dtype:>8} "
        + " ".join(f"{ours:>8} {theirs:>6}" for ours, theirs in columns)
        + f" {statistics.median(ours / theirs for ours, theirs in turns):6.2f}",
        flush=True,
    )


def timed(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def parse(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    app.run(main)
