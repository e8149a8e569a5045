"""Numbers as people read them."""

import math
from collections.abc import Iterable
from typing import Any

from jaxstage.workdir.confusion import Confusion
from jaxstage.workdir.record import StageDecision

COSTS = {"macs": "MACs", "parameters": "parameters", "latency_ms": "latency"}  # as records call them, and people


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def accuracy(counts: Confusion) -> str:
    """With its interval: 91.30% (95% interval 87.10% to 94.20%)."""
    low, high = counts.interval
    return f"{counts.accuracy:.2%} (95% interval {low:.2%} to {high:.2%})"


def amount(number: float | None) -> str:
    """1,234 as it is, from 10,000 on with three digits: 45.7 k, 1.23 M, 4.09 G."""
    if number is None:
        return ""
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"


def cost_of(value: float | None, kind: str) -> str:
    """What a network costs, in full; kind: one of COSTS."""
    if value is None:
        return ""
    return f"{value:.3g} ms" if kind == "latency_ms" else f"{value:,.0f}"


def counted(number: int, what: str, several: str = "") -> str:
    """several: what more than one are called, if not by an s."""
    return f"{number} {what if number == 1 else several or what + 's'}"


def clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02.0f} s" if minutes else f"{seconds:.1f} s"


def time_unit(seconds: float) -> tuple[str, int]:
    """(name, its seconds) of the unit in which so long a time is told."""
    return next((unit for unit in (("hours", 3600), ("minutes", 60)) if seconds > 2 * unit[1]), ("seconds", 1))


def depths(numbers) -> str:
    return "(" + ", ".join(map(str, numbers)) + ")"


def span(lower, upper) -> str:
    """The depths of a candidate; of an elastic network those that it can take. lower: None for others."""
    return f"{depths(lower)} to {depths(upper)}" if lower else depths(upper)


def measured(value: float | None, error: float | None) -> str:
    """A value with its standard error, to the digits that the error leaves."""
    if value is None:
        return ""
    if not error:
        return f"{value:.3g}"
    if not math.isfinite(error):
        return f"{value:.3g} ± {error:.2g}"
    digits = max(0, 1 - int(f"{error:e}".split("e")[1]))
    return f"{value:.{digits}f} ± {error:.{digits}f}" if digits < 7 else f"{value:.3g} ± {error:.2g}"


def change(value: float, error: float) -> str:
    """What is above or below 0, with its standard error."""
    return f"{value:+.3g} ± {error:.2g}"


def interval(of: dict, digits: int = 1, factor: float = 100, sign: str = "") -> str:
    """`mean [low, high]` of {mean, low, high}, the mean alone where the ends are None; sign: "+" for it on all."""
    mean, *ends = (
        None if of[key] is None else f"{factor * of[key]:{sign}.{digits}f}" for key in ("mean", "low", "high")
    )
    return mean if None in ends else f"{mean} [{', '.join(ends)}]"


def numbers_shown(decisions: Iterable[StageDecision]) -> tuple[str, ...]:
    """Which of their numbers a table of decisions shows: what any of them has, and the evidence where it is none of these.

    It is one of these where scores are compared, then it is their rise, and where added blocks alone are scored.
    """
    decisions = list(decisions)
    there = lambda name: any(decision.number(name)[0] is not None for decision in decisions)
    shown = tuple(name for name in ("before", "after", "rise") if there(name))
    apart = there("evidence") and not {"after", "rise"} & set(shown)
    return (*shown, "evidence") if apart else shown


def yes_or_no(answer: bool) -> str:
    return "yes" if answer else "no"


def value(of: Any) -> str:
    """A config's value as it is written in a config file."""
    return str(tuple(of)) if isinstance(of, list) else repr(of)


def energy(joules: float, kg_per_kwh: float) -> str:
    kwh = joules / 3.6e6
    return footprint(kwh, kwh * kg_per_kwh)


def footprint(kwh: float, kgco2eq: float) -> str:
    return f"{kwh:.3g} kWh ({kgco2eq:.3g} kgCO2eq)"
