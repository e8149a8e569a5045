"""What a benchmark leaves behind: one JSON file for each preset, with the machine and the command that made it.

    benchmarks/results/<benchmark>/<preset>.json = {command, preset, machine, settings, results}

These files are committed, and docs/RESULTS.md is made of them alone. The mean of several seeds comes with its 95 %
confidence interval, as {mean, low, high, n}.
"""

import datetime
import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Callable

import numpy as np
import scipy.stats

from jaxstage.files import write_json

RESULTS = pathlib.Path(__file__).parent / "results"
CONFIDENCE = 0.95
LIBRARIES = ("jax", "flax", "optax", "jaxstage")


def path(benchmark: str, preset: str) -> pathlib.Path:
    """Where the summary of a benchmark, the name of its script, belongs."""
    return RESULTS / benchmark / f"{preset}.json"


def write(path: pathlib.Path, preset: str, settings: dict, results: dict | list) -> None:
    """Writes a summary in one move, and its folder where it is missing.

    Args:
      path: <benchmark>/<preset>.json, whose folder names the script: `path(benchmark, preset)`.
      preset: what the script was run with.
      settings: what the figures depend on and the preset stands for (data, seeds, widths, epochs); plain data.
      results: the figures; plain data, in the shape that suits the benchmark.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    command = f"python benchmarks/{path.parent.name}.py --preset={preset}"
    write_json(
        path, {"command": command, "preset": preset, "machine": machine(), "settings": settings, "results": results}
    )


def interval(values) -> dict:
    """Mean of independent values with its interval of Student's t, {mean, low, high, n}; for one value no interval.

    Args:
      values: numbers, like the accuracies of the seeds.
    """
    values = np.asarray(values, np.float64)
    mean, n = values.mean(), values.size
    if n < 2:
        return {"mean": float(mean), "low": None, "high": None, "n": n}
    half = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return {"mean": float(mean), "low": float(mean - half), "high": float(mean + half), "n": n}


def share(hits: int, n: int) -> dict | None:
    """{mean, low, high, n} of n independent decisions of which `hits` were right, with the exact interval (Clopper and
    Pearson, 1934); None where there were none."""
    if not n:
        return None
    low, high = scipy.stats.binomtest(hits, n).proportion_ci(CONFIDENCE, method="exact")
    return {"mean": hits / n, "low": float(low), "high": float(high), "n": n}


def bootstrap(values, statistic: Callable = np.mean, resamples: int = 10_000, seed: int = 0) -> dict:
    """A statistic of independent cases that is no mean, or of few kinds of values, with its percentile interval.

    Args:
      values: (n, ...), one row a case; rows are drawn with replacement.
      statistic: function of such an array, like the share of right choices or a rank correlation.
      resamples: how many draws.
      seed: of the draws.

    Returns:
      {mean, low, high, n}, where `mean` is the statistic of `values`.
    """
    values, random = np.asarray(values), np.random.default_rng(seed)
    draws = [statistic(values[random.integers(len(values), size=len(values))]) for _ in range(resamples)]
    low, high = np.nanquantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"mean": float(statistic(values)), "low": float(low), "high": float(high), "n": len(values)}


def machine() -> dict:
    """What the figures of this process were measured on and with; plain data."""
    import jax

    gpus = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": f"{len(gpus)} x {gpus[0]}" if gpus else None,
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "date": datetime.date.today().isoformat(),
    }


def _cpu() -> str:
    """The processor's model, which the standard library does not tell on Linux."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
