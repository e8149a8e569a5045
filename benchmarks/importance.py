"""What the importance of all stages of one candidate costs, in training steps of the same candidate.

    python -m benchmarks.importance                        # digits
    python -m benchmarks.importance --config=configs/cifar10.py:smoke --config.model.depths=(2,2,2)

Both are timed in one process, an epoch first, each with and without its compilation; nothing is saved.
"""

import contextlib
import pathlib
import tempfile
import time

import jax
import numpy as np
from absl import app, logging
from ml_collections import config_flags

from jaxstage import importance
from jaxstage.config import validate
from jaxstage.data import load_train
from jaxstage.depth_search.bench import make_bench
from jaxstage.depth_search.judge import trained
from jaxstage.depth_search.train import feed_of
from jaxstage.devices.cpu.host_memory import use_huge_pages
from jaxstage.report.console import Reporter
from jaxstage.workdir.record import Candidate

_CONFIG = config_flags.DEFINE_config_file("config", "configs/digits.py", "FILE[:PRESET]")
COMPILE_EVENTS = (
    "/jax/core/compile/backend_compile_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/jaxpr_trace_duration",
)
LONG_COMPILATION = 0.2  # seconds: networks, not the small programs that draw noise


@contextlib.contextmanager
def measured(text: str):
    """Prints wall time, and how many long compilations there were, of what happens inside.

    Yields a list that gets the seconds, without those of tracing and compiling.
    """
    compiling, compilations, elapsed = [], [], []

    def listen(event, seconds, **_):
        if event in COMPILE_EVENTS:
            compiling.append(seconds)
        if event == COMPILE_EVENTS[0] and seconds > LONG_COMPILATION:
            compilations.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    start = time.perf_counter()
    yield elapsed
    total = time.perf_counter() - start
    jax.monitoring.unregister_event_duration_listener(listen)
    elapsed.append(total - sum(compiling))
    print(f"{text:34} {total:8.2f} s, of it {sum(compiling):6.2f} s in {len(compilations)} compilation(s)", flush=True)


def main(_):
    logging.set_verbosity(logging.FATAL)
    config = _CONFIG.value
    validate(config)
    dataset = load_train(config.data, config.seed)
    depths, rates = tuple(config.model.depths), np.full(10**6, config.optimizer.learning_rate, np.float32)
    with tempfile.TemporaryDirectory() as workdir:  # of which nothing is used
        bench = make_bench(config, dataset, pathlib.Path(workdir), Reporter(quiet=True), stop_signal=lambda: None)
    program, steps = bench.programs.of(depths), bench.steps_per_epoch
    key = bench.key
    state = jax.device_put(bench.programs.init(depths, key), bench.parallel.replicated)

    print(f"{config.data.name}, depths {depths}, {steps} steps of {config.batch_size} images an epoch")
    done = 0
    with feed_of(bench, key, rates) as feed:
        for epoch in range(2):
            with measured(f"training epoch {epoch + 1}") as training:
                while done < (epoch + 1) * steps:
                    count = min(bench.programs.steps_at_once, (epoch + 1) * steps - done)
                    state, _ = program.step(state, *feed(done, count), key)
                    done += count
                jax.block_until_ready(state)

    network = trained(bench, Candidate("benchmark", "start", depths, None, 0, 0), state)
    calibration = network.calibration
    with measured(f"importance, {calibration.size} images, first time"):
        scores = importance.method(config)(network, key)
    with measured("importance again") as scoring:
        importance.method(config)(network, key)
    print(f"without compilation that is the time of {scoring[0] / (training[0] / steps):.1f} training steps")
    print("scores", "  ".join(f"{v:.5f} ± {e:.5f}" for v, e in zip(scores.values, scores.errors)))


if __name__ == "__main__":
    use_huge_pages()
    app.run(main)
