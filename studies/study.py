"""What a study is, and how its cells are measured one after the other.

A file in studies/results/ holds what was measured. What a page says of it is computed from that anew, by pure
functions, so words cannot disagree with figures.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxstage.files import write_json

RESULTS = pathlib.Path(__file__).parent / "results"
LIBRARIES = ("jax", "flax", "optax", "jaxstage")


class Study(NamedTuple):
    """A question and how it is answered.

    Attributes:
      question: Markdown above the tables, with the command that measures the cells.
      cells: `cells(folder)`: what was measured, each cell by itself, as the files in the folder have it; empty where
        there are none.
      summary: `summary(cells)`: the figures, with an interval wherever there are several seeds, cases or tables.
      verdict: `verdict(summary)`: short tables as Markdown, each with a column that says better, worse or tie.
      details: `details(summary)`: what is too long for that, for the appendix; "" where that is nothing.
    """

    question: str
    cells: Callable[[pathlib.Path], dict]
    summary: Callable[[dict], Any]
    verdict: Callable[[Any], str]
    details: Callable[[Any], str] = lambda summary: ""


def files(folder: pathlib.Path, pattern: str) -> dict[str, Any]:
    """The JSON files in a folder by their names, in order."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob(pattern))}


def measuring_options(doc: str | None, root: str, arguments: list[str] | None) -> argparse.Namespace:
    """The flags of a study that trains: data_dir, root (of its runs, by default this one) and out; doc, its help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", metavar="DIR", help="where CIFAR-10 lies as a TFDS set")
    parser.add_argument("--root", metavar="DIR", type=pathlib.Path, default=root, help="of the training runs")
    parser.add_argument(
        "--out", metavar="FILE", type=pathlib.Path, required=True, help="where figures are kept as JSON"
    )
    return parser.parse_args(arguments)


def measure(out: pathlib.Path, settings: dict, cells: dict[str, Callable[[], dict]]) -> dict[str, dict]:
    """Measures the cells that a file lacks and writes it after each, so that the same command goes on where it stopped.

    Args:
      out: the file, {settings, machine, cells: {name: what the cell returned}}.
      settings: what the figures depend on; plain data.
      cells: functions that return plain data, by name.

    Returns:
      What all cells returned, by name, in the order of `cells`.
    """
    kept = json.loads(out.read_text())["cells"] if out.exists() else {}
    out.parent.mkdir(parents=True, exist_ok=True)
    for number, (name, cell) in enumerate(cells.items(), 1):
        if name not in kept:
            kept[name] = cell()
            write_json(out, {"settings": settings, "machine": machine(), "cells": kept})
            print(f"[{number}/{len(cells)}] {name}", flush=True)
    return {name: kept[name] for name in cells}


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
