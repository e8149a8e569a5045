"""A run as one story: a config in, a trained network and what was found out about it in the work directory.

The ways in are `python -m jaxstage.main`, the command `jaxstage` and, from Python, `jaxstage.search`.
"""

import contextlib
import pathlib
from typing import TYPE_CHECKING

from jaxstage.config import KEYS, Config, flatten, plain, validate
from jaxstage.devices.signals import stop_on_signal
from jaxstage.errors import UserError
from jaxstage.files import local

if TYPE_CHECKING:
    from jaxstage.workdir.record import Record


def run(
    config: Config, name: str, workdir: str | None, cluster: tuple = (None, None, None), dry_run: bool = False
) -> dict | None:
    """Does what a config says and returns the result, on several hosts on the primary one alone.

    Args:
      config: a ConfigDict with the keys of `jaxstage.config.default`.
      name: of the config, for the default work directory: configs/cifar10.py:smoke.
      workdir: where to do it, or None for a directory under runs/ that belongs to this config.
      cluster: the other processes, see `jaxstage.devices.hosts.together`.
      dry_run: whether only to tell what would be done, see `jaxstage.depth_search.dry_run`.
    """
    from jaxstage.workdir.claim import default_name

    validate(config)
    config = with_pictures(config, cluster)
    place = local(workdir or default_name(name, config), "--workdir")
    from jaxstage.devices.caches import compilation_cache
    from jaxstage.devices.memory import explaining_exhaustion

    sizes = {"batch_size": config.batch_size, "data.image_size": config.data.image_size}
    with compilation_cache(config.compilation_cache), explaining_exhaustion(sizes):
        if dry_run:
            return preview(config, place, cluster)
        if config.task == "evaluate":
            return evaluate_network(config, workdir, cluster)
        return search(config, place, cluster)


def with_pictures(config: Config, cluster: tuple = ()) -> Config:
    """The config with the set of its data.folder, if it names one; `cluster` as for `run`."""
    if config.data.folder is None:
        return config
    if any(flag is not None for flag in cluster):
        raise UserError(
            f"config.data.folder={config.data.folder} is prepared on one host: do so with `jaxstage prepare NAME --folder` "
            "first, and give config.data.name"
        )
    from jaxstage.data.prepare.once import prepared

    return prepared(config)


def search(config: Config, workdir: pathlib.Path, cluster: tuple) -> dict | None:
    """Searches depths and trains the network, or only trains or transfers it; `cluster` as for `run`."""
    # Heavy imports from here on: a wrong flag is told at once.
    from jaxstage.data import skipped
    from jaxstage.depth_search import driver
    from jaxstage.depth_search.bench import make_bench, open_run
    from jaxstage.devices import hosts
    from jaxstage.devices.cpu import native
    from jaxstage.devices.energy import footprints
    from jaxstage.report.console import Reporter
    from jaxstage.report.html import page
    from jaxstage.workdir.claim import claim

    alike = {"--workdir": str(workdir.absolute()), **same_on_all_hosts(config)}
    with hosts.together(cluster, alike), stop_on_signal() as stop_signal, contextlib.ExitStack() as held:
        reporter = Reporter(quiet=not hosts.primary())
        config, dataset, source = open_run(config)
        bench = make_bench(config, dataset, workdir, reporter, hosts.agreed(stop_signal), source)
        hosts.on_primary(lambda: held.enter_context(claim(workdir, config, reporter.warn)))
        hosts.on_primary(skipped.add, skipped.file_in(workdir, 0), dataset.left_out)
        reporter.say(f"work directory: {workdir}")
        if native.advisable(config):
            reporter.say("faster on this CPU, with its C++ compiler: --config.convolutions=native")
        record = driver.run(bench)
        if not hosts.primary():
            return None
    used = footprints(record, config.energy.kg_per_kwh)
    reporter.energy(used)
    reporter.say(f"report: {workdir / page.FILE}")
    return result(record, used, config, workdir)


def same_on_all_hosts(config: Config) -> dict:
    """The config flat and as JSON has it, without the places on a machine."""
    flat = flatten(plain(config))
    return {f"config.{name}": value for name, value in flat.items() if name not in KEYS or not KEYS[name].path}


def result(record: "Record", used: dict, config: Config, workdir: pathlib.Path) -> dict:
    """What a complete record comes to; used, see `jaxstage.devices.energy.footprints`."""
    final, test = record.final, record.test
    assert final and test  # or the driver would not have returned
    return {
        "depths": list(final.depths),
        "parameters": final.parameters,
        "macs": final.macs,
        "separable_macs": final.separable_macs,
        **({"latency_ms": final.latency_ms} if final.latency_ms is not None else {}),
        "test_accuracy": test["accuracy"],
        **({"test_balanced_accuracy": balanced} if (balanced := test.get("balanced_accuracy")) is not None else {}),
        "models_trained": record.models_trained,
        "seconds": round(record.seconds, 1),
        "energy": used,
        "workdir": str(workdir),
        **({"source": str(config.source)} if config.source is not None else {}),
    }


def preview(config: Config, workdir: pathlib.Path, cluster: tuple) -> dict:
    """Says what `search` would do; arguments as for `search`."""
    if any(flag is not None for flag in cluster):
        raise UserError("--dry_run measures on one host: leave --coordinator, --num_processes and --process_id out")
    from jaxstage.depth_search.dry_run import dry_run

    return dry_run(config, workdir)


def evaluate_network(config: Config, workdir: str | None, cluster: tuple) -> dict:
    """Evaluates the network of a finished run; arguments as for `run`."""
    if any(flag is not None for flag in cluster):
        raise UserError("task evaluate runs on one host: leave --coordinator, --num_processes and --process_id out")
    if workdir is not None:
        raise UserError("--workdir has no use with task evaluate, which writes nothing: leave it out")
    from jaxstage.evaluate import evaluate

    return evaluate(config)


def measure_latency(config: Config, out: str) -> dict:
    """Measures what a config's networks take on this machine and writes the table to a file, see `jaxstage.cost.latency`."""
    validate(config)
    config = with_pictures(config)
    place = local(out, "--out")
    if place.exists() and not place.is_file() or not place.parent.is_dir():
        raise UserError(f"--out={out}: give a file, in a directory that is there")
    from jaxstage.cost import latency
    from jaxstage.data import input_shape
    from jaxstage.depth_search import transfer
    from jaxstage.devices.caches import compilation_cache
    from jaxstage.report.console import Reporter

    source = transfer.open_source(config)
    image_shape, num_classes = input_shape(config.data)  # all that is looked at of the data
    with compilation_cache(config.compilation_cache):
        table = latency.of_config(transfer.resolve(config, source, image_shape), image_shape, num_classes)
    latency.save(table, place)
    reporter = Reporter()
    reporter.say(latency.summary(table))
    reporter.say(f"table: {place}")
    return table._asdict()
