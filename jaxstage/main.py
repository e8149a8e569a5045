"""Finds how deep each stage of a convolutional network has to be, and trains it.

    python -m jaxstage.main --config=configs/digits.py
    python -m jaxstage.main --config=configs/cifar10.py:smoke --workdir=runs/mine --config.seed=1
    python -m jaxstage.main --config=configs/transfer.py --config.source=runs/mine
    python -m jaxstage.main --config=configs/evaluate.py --config.source=runs/mine

--config=FILE[:PRESET]   what to do; the files in configs/ say what they need and what to expect
--workdir=DIR            where checkpoints, the record and the results go; without it, a directory under runs/ that
                         belongs to this config
--config.KEY=VALUE       overrides a key of the config
--dry_run                print the config, the networks that would be trained with their parameters and MACs, and guesses of
                         time and disk from a few measured steps; nothing is written into the work directory
--coordinator=HOST:PORT --num_processes=N --process_id=I
                         run on several hosts, the same command on each; --coordinator=auto finds them out, and in a
                         SLURM job step or on a TPU slice that is done without a flag

The same command continues an interrupted run. Ctrl-C and SIGTERM save first; a second signal ends the run at once.
The last line on standard output is a JSON object with the result.
"""
import contextlib
import json
import os
import pathlib
import signal
import sys
import threading

from absl import app, logging

from jaxstage.config import validate
from jaxstage.errors import Stopped, UserError, is_disk_full
from jaxstage.host_memory import use_huge_pages


def main(_) -> None:
    # Here, because flags are global: Python programs that import `run` have their own.
    from jaxstage.command_line import (
        CONFIG, COORDINATOR, DRY_RUN, NUM_PROCESSES, PROCESS_ID, WORKDIR, config_file, one_line,
    )  # fmt: skip

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of a KeyboardInterrupt
    logging.set_verbosity(logging.FATAL)  # the libraries' own notes; what matters of them is raised and told here
    try:
        cluster = (COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
        result = run(CONFIG.value, config_file(), WORKDIR.value, cluster, DRY_RUN.value)
    except UserError as error:
        sys.exit(f"error: {one_line(str(error))}")
    except Stopped as stopped:
        print(f"stopped by signal {stopped.signal}, everything is saved; the same command continues", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except OSError as error:
        if not is_disk_full(error):
            raise
        sys.exit(f"error: the disk is full ({error.filename}): free some space and run the same command again")
    if result is not None:
        print(json.dumps(result), flush=True)


def run(
    config, name: str, workdir: str | None, cluster: tuple = (None, None, None), dry_run: bool = False
) -> dict | None:
    """Does what a config says and returns the result, on several hosts on the primary one alone.

    Args:
      config: a ConfigDict with the keys of `jaxstage.config.default`.
      name: of the config, for the default work directory: configs/cifar10.py:smoke.
      workdir: where to do it, or None for a directory under runs/ that belongs to this config.
      cluster: the other processes, see `jaxstage.hosts.connect`.
      dry_run: whether only to tell what would be done, see `jaxstage.dry_run`.
    """
    validate(config)
    use_compilation_cache(config.compilation_cache)
    if dry_run:
        return foretell(config, name, workdir, cluster)
    if config.task != "evaluate":
        return search(config, name, workdir, cluster)
    if any(flag is not None for flag in cluster):
        raise UserError("task evaluate runs on one host: leave --coordinator, --num_processes and --process_id out")
    if workdir is not None:
        raise UserError("--workdir has no use with task evaluate, which writes nothing: leave it out")
    from jaxstage.evaluate import evaluate

    return evaluate(config)


def foretell(config, name: str, workdir: str | None, cluster: tuple) -> dict:
    """Says what `search` would do; arguments as for `run`."""
    if any(flag is not None for flag in cluster):
        raise UserError("--dry_run measures on one host: leave --coordinator, --num_processes and --process_id out")
    from jaxstage.dry_run import dry_run

    return dry_run(config, name, workdir)


def search(config, name: str, workdir: str | None, cluster: tuple) -> dict | None:
    """Searches depths and trains the network, or only trains or transfers it; arguments as for `run`."""
    # Heavy imports from here on: a wrong flag is told at once.
    from jaxstage import hosts, native, transfer
    from jaxstage.data import load_train, skipped
    from jaxstage.energy import footprints
    from jaxstage.report.console import Reporter
    from jaxstage.report.html import page
    from jaxstage.search import driver
    from jaxstage.search.trainer import Trainer
    from jaxstage.workdir import claim, default_name

    hosts.connect(*cluster)
    workdir = pathlib.Path(workdir or default_name(name, config))
    reporter = Reporter(quiet=not hosts.primary())
    source = transfer.open_source(config.source) if config.source is not None else None
    dataset = load_train(config.data, config.seed)
    config = transfer.settle(config, source, dataset.image_shape)
    with stop_on_signal() as stop_signal, contextlib.ExitStack() as held:
        trainer = Trainer(config, dataset, workdir, reporter, hosts.agreed(stop_signal), source)
        hosts.on_primary(lambda: held.enter_context(claim(workdir, config)))
        hosts.on_primary(skipped.add, skipped.file_in(workdir, 0), dataset.left_out)
        reporter.say(f"work directory: {workdir}")
        if native.advisable(config):
            reporter.say("faster on this CPU, with its C++ compiler: --config.model.convolutions=native")
        record = driver.run(trainer)
    if not hosts.primary():
        return None
    used = footprints(record, config.energy.kg_per_kwh)
    reporter.energy(used)
    reporter.say(f"report: {workdir / page.FILE}")
    return {
        "depths": list(record.final.depths),
        "parameters": record.final.parameters,
        "macs": record.final.macs,
        "separable_macs": record.final.separable_macs,
        "test_accuracy": record.test["accuracy"],
        "models_trained": record.models_trained,
        "seconds": round(record.seconds, 1),
        "energy": used,
        "workdir": str(workdir),
        **({"source": str(config.source)} if config.source is not None else {}),
    }


def use_compilation_cache(directory: str) -> None:
    """Keeps compiled programs between runs; "" for not at all."""
    import jax

    if directory:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(directory))
        # The many small ones, too: they are a third of what a repeated run would compile otherwise.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@contextlib.contextmanager
def stop_on_signal():
    """Yields a function that returns the SIGINT or SIGTERM that came, or None; a second one does what it did before."""
    if threading.current_thread() is not threading.main_thread():  # where Python allows no signal handlers
        yield lambda: None
        return
    received = []

    def note(number, _):
        received.append(number)
        signal.signal(number, before[number])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    from jaxstage.command_line import parser

    use_huge_pages()
    app.run(main, flags_parser=parser(__doc__))
