"""Where the time of a whole search goes, and how many training runs of the final network it costs.

    python -m benchmarks.search_cost --config=configs/cifar10.py:smoke [--workdir=DIR] [--config.KEY=VALUE]

Runs the search as the main program does, with clocks around its parts. Run it twice with the same
--config.compilation_cache to see it with compiled programs at hand. What it costs on any machine is counted in
multiply-accumulates, as `jaxstage compare` does.
"""

import collections
import contextlib
import json
import pathlib
import tempfile
import threading
import time

import jax
from absl import app, logging

from jaxstage import run as program
from jaxstage.cli.flags import CONFIG, WORKDIR, config_file, parser
from jaxstage.comparison.cells import work
from jaxstage.devices.cpu.host_memory import use_huge_pages
from jaxstage.workdir import record as records
from jaxstage.workdir.checkpoint import Store
from jaxstage.workdir.record import Record

COMPILE_EVENTS = (
    "/jax/core/compile/backend_compile_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/jaxpr_trace_duration",
)


class Clock:
    """Seconds by part; a part inside another is taken out of the outer one."""

    def __init__(self):
        self.seconds = collections.Counter()
        self._inside = [0.0]

    @contextlib.contextmanager
    def part(self, name: str):
        start = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            total = time.perf_counter() - start
            self.seconds[name] += total - self._inside.pop()
            self._inside[-1] += total

    def around(self, owner, attribute: str, name: str):
        original = getattr(owner, attribute)

        def timed(*arguments, **options):
            with self.part(name):
                return original(*arguments, **options)

        setattr(owner, attribute, timed)

    def note(self, name: str, seconds: float):
        """Moves time that is being spent inside the current part to another one."""
        self.seconds[name] += seconds
        self._inside[-1] += seconds


def main(_):
    from jaxstage.depth_search import bench, driver, judge, train
    from jaxstage.depth_search.programs import Programs

    logging.set_verbosity(logging.FATAL)
    clock, compilations, beside = Clock(), [], []

    def listen(event, seconds, **_):
        waited_for = threading.current_thread() is threading.main_thread()
        if event in COMPILE_EVENTS and waited_for:
            clock.note("compilation", seconds)
        if event == COMPILE_EVENTS[0] and seconds > 0.1:
            (compilations if waited_for else beside).append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    clock.around(bench, "load_train", "input")
    clock.around(judge, "load_test", "input")
    for attribute in ("save", "restore", "__exit__", "__init__"):
        clock.around(Store, attribute, "saving")
    clock.around(train, "fit", "training")
    clock.around(driver, "score", "importance")
    evaluation = Programs.evaluation

    def timed_evaluate(*arguments):
        evaluate = evaluation(*arguments)

        def timed(variables):
            with clock.part("validation"):
                return evaluate(variables)

        return timed

    Programs.evaluation = timed_evaluate
    with contextlib.ExitStack() as stack:
        workdir = WORKDIR.value or stack.enter_context(tempfile.TemporaryDirectory())
        with clock.part("everything else"):
            result = program.run(CONFIG.value, config_file(), workdir)
        record = records.load(pathlib.Path(workdir))
    report(CONFIG.value, record, result, clock, compilations, beside)


def report(config, record: Record, result: dict, clock: Clock, compilations: list, beside: list):
    total = sum(clock.seconds.values())
    for name, seconds in clock.seconds.most_common():
        print(f"{name:16} {seconds:8.1f} s  {seconds / total:6.1%}")
    print(
        f"{'in all':16} {total:8.1f} s, {len(compilations)} compilations of more than 0.1 s waited for, "
        f"{len(beside)} more ({sum(beside):.1f} s) beside training runs"
    )
    print(f"overhead (all but training): {1 - clock.seconds['training'] / total:.1%}")
    search, final = (
        sum(
            sum(work(candidate, config.batch_size).values())
            for candidate in record.candidates
            if (candidate.role == "final") == final
        )
        for final in (False, True)
    )
    print(
        f"multiply-accumulates: search {search:.3g}, final training {final:.3g}; "
        f"the search costs {search / final:.2f} training runs of the final network"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    use_huge_pages()
    app.run(main, flags_parser=parser(__doc__))
