"""The training curves in a metrics.jsonl, and what of them is lost. Neither JAX nor TensorBoard is needed."""

import pathlib
from typing import Any, NamedTuple

from jaxstage.config import typed
from jaxstage.errors import some
from jaxstage.files import parse_json, read_if_there
from jaxstage.report import text
from jaxstage.workdir.record import Record

FILE = "metrics.jsonl"


class Curves(NamedTuple):
    """What a metrics.jsonl says.

    Attributes:
      lines: {candidate: {"train" or "validation": [{step, loss, accuracy, ...}, ...]}}.
      damaged: numbers of the lines that cannot be read, from 1. One that a kill left unfinished at the end is none.
    """

    lines: dict[str, dict[str, list[dict]]]
    damaged: tuple[int, ...]


def read(workdir: pathlib.Path) -> Curves:
    """The curves of a work directory; without a file there are none.

    Raises:
      UserError: the file cannot be read.
    """
    curves, damaged = {}, []
    whole, _ = split(read_if_there(workdir / FILE, errors="replace") or "")
    for number, raw in enumerate(whole, start=1):
        line = parsed(raw)
        if line is not None and {"loss", "accuracy"} <= line.keys():
            curves.setdefault(line["candidate"], {}).setdefault(line["split"], []).append(line)
        else:
            damaged.append(number)
    return Curves(curves, tuple(damaged))


def split(contents: str) -> tuple[list[str], str]:
    """The lines of a metrics.jsonl, and what stands after the last of them, which a kill left unfinished."""
    *whole, unfinished = contents.split("\n")
    return whole, unfinished


def parsed(raw: str) -> dict[str, Any] | None:
    """A line's {candidate, split, step, ...}, where everything else is a number; None if it is damaged."""
    try:
        line = parse_json(raw)
        named = isinstance(line["candidate"], str) and isinstance(line["split"], str) and type(line["step"]) is int
        numbers = not any(typed.problem(line[key], float) for key in line.keys() - {"candidate", "split"})
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return line if named and numbers else None


def lost(curves: Curves, record: Record) -> list[str]:
    """What of the curves of a record's candidates is not there, a line each for people.

    A training run logs at least once an epoch, and at its end.
    """
    told = []
    if curves.damaged:
        first = f"line {curves.damaged[0]}" if len(curves.damaged) == 1 else f"the first is line {curves.damaged[0]}"
        told.append(f"{FILE}: {text.counted(len(curves.damaged), 'line')} damaged and left out ({first})")
    steps_of = lambda name, split: sorted({line["step"] for line in curves.lines.get(name, {}).get(split, [])})
    validated = [steps_of(name, "validation") for name in curves.lines]
    epoch = min((after - before for steps in validated for before, after in zip([0, *steps], steps)), default=None)
    spans = [
        f"{candidate.name} {first}-{last}"
        for candidate in record.candidates
        if candidate.steps
        for first, last in _gaps(steps_of(candidate.name, "train"), candidate.steps, epoch or candidate.steps)
    ]
    if spans:
        shown = some(spans, most=5)
        told.append(f"{FILE}: what was logged of these steps is missing, so the curves lack it: {shown}")
    return told


def _gaps(logged: list[int], steps: int, epoch: int) -> list[tuple[int, int]]:
    """(first, last) of the steps that no line tells of, where these are more than an epoch's, or the last ones."""
    stops = [0, *(step for step in logged if step < steps), steps]
    gaps = [(before + 1, after) for before, after in zip(stops, stops[1:]) if after - before > epoch]
    if steps not in logged and (not gaps or gaps[-1][1] != steps):
        gaps.append((stops[-2] + 1, steps))
    return gaps
