"""What the importance of all stages of one candidate costs, in training steps of the same candidate.

    python benchmarks/importance.py                        # digits
    python benchmarks/importance.py --config=configs/cifar10.py:smoke --config.model.depths=(2,2,2)

Both are timed in one process, an epoch first, each with and without its compilation; nothing is saved.
"""
import contextlib
import functools
import time

import jax
from absl import app, logging
from ml_collections import config_flags

from jaxstage import importance
from jaxstage.config import plain, validate
from jaxstage.data import load_train
from jaxstage.data.dataset import stratified_cut
from jaxstage.models import build
from jaxstage.train.parallel import compile_train_step, set_up
from jaxstage.train.state import init_state, make_optimizer, make_schedule
from jaxstage.train.step import make_train_step

_CONFIG = config_flags.DEFINE_config_file("config", "configs/digits.py", "FILE[:PRESET]")
COMPILE_EVENTS = ("/jax/core/compile/backend_compile_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration",
                  "/jax/core/compile/jaxpr_trace_duration")  # fmt: skip
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
    parallel = set_up(config.parallel, config.devices, config.batch_size)
    module = build(plain(config.model), config.model.depths, dataset.num_classes, parallel.axis_name)
    steps = dataset.train.size // config.batch_size
    optimizer = make_optimizer(
        config.optimizer, make_schedule(config.candidate, config.optimizer.learning_rate, steps)
    )
    step = make_train_step(
        module, optimizer, dataset.normalization, crop_padding=config.data.crop_padding,
        flip=config.data.flip, label_smoothing=config.optimizer.label_smoothing, axis_name=parallel.axis_name,
    )  # fmt: skip
    step = compile_train_step(step, parallel, config.batch_size)
    place = functools.partial(jax.device_put, device=parallel.replicated)
    state = place(init_state(module, optimizer, dataset.image_shape, jax.random.key(0)))
    data, key = place(dataset.train), place(jax.random.key(1))
    order = place(jax.random.permutation(key, dataset.train.size))

    print(f"{config.data.name}, depths {config.model.depths}, {steps} steps of {config.batch_size} images an epoch")
    for epoch in range(2):
        with measured(f"training epoch {epoch + 1}") as training:
            for _ in range(steps):
                state, metrics = step(state, data, order, key)
            jax.block_until_ready(state)

    _, calibration = stratified_cut(dataset.train, config.importance.examples, config.seed)
    trained = importance.Trained(
        "benchmark", module, state.variables, tuple(config.model.depths), place(calibration), dataset.normalization
    )
    with measured(f"importance, {calibration.size} images, first time"):
        scores = importance.method(config)(trained, key)
    with measured("importance again") as scoring:
        importance.method(config)(trained, key)
    print(f"without compilation that is the time of {scoring[0] / (training[0] / steps):.1f} training steps")
    print("scores", "  ".join(f"{v:.5f} ± {e:.5f}" for v, e in zip(scores.values, scores.errors)))


if __name__ == "__main__":
    app.run(main)
