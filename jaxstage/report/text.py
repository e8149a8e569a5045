"""Numbers as people read them."""

from typing import Any

COSTS = {"macs": "MACs", "parameters": "parameters", "latency_ms": "latency"}  # as records call them, and people


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


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


def counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02.0f} s" if minutes else f"{seconds:.1f} s"


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
    digits = max(0, 1 - int(f"{error:e}".split("e")[1]))
    return f"{value:.{digits}f} ± {error:.{digits}f}" if digits < 7 else f"{value:.3g} ± {error:.2g}"


def value(of: Any) -> str:
    """A config's value as it is written in a config file."""
    return str(tuple(of)) if isinstance(of, list) else repr(of)


def energy(joules: float, kg_per_kwh: float) -> str:
    kwh = joules / 3.6e6
    return f"{kwh:.3g} kWh ({kwh * kg_per_kwh:.3g} kgCO2eq)"
