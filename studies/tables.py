"""From numbers with intervals to tables whose words follow from a comparison and nothing else.

An interval is {mean, low, high, n}, of 95 %; low and high are None where one value was measured.
"""

from collections.abc import Callable

import numpy as np

from jaxstage.comparison.table import CONFIDENCE


def bootstrap(values, statistic: Callable = np.mean, resamples: int = 2_000, seed: int = 0) -> dict:
    """A statistic of independent cases, of few kinds of values or no mean, with its percentile interval.

    Args:
      values: (n, ...), one row a case; rows are drawn with replacement.
      statistic: function of such an array.
      resamples: how many draws.
      seed: of the draws.
    """
    values, random = np.asarray(values), np.random.default_rng(seed)
    draws = [statistic(values[random.integers(len(values), size=len(values))]) for _ in range(resamples)]
    low, high = np.nanquantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"mean": float(statistic(values)), "low": float(low), "high": float(high), "n": len(values)}


def outcome(advantage: dict) -> str:
    """better, worse or tie, by whether 0 is in an interval; same where nothing differs; of one value, one alone."""
    low, high = advantage["low"], advantage["high"]
    if low is None:
        return "one alone"
    if low == high == 0:
        return "same"
    return "better" if low > 0 else "worse" if high < 0 else "tie"


def verdict(advantage: dict | None, decimals: int = 2, factor: float = 1.0) -> str:
    """An outcome with its figures, like `better, +0.16 [0.08, 0.25]`; above 0 is to the advantage of the first."""
    if advantage is None:
        return ""
    sign = "+" if advantage["mean"] * factor >= 0.5 * 10**-decimals else ""
    return f"{outcome(advantage)}, {sign}{number(advantage, decimals, factor)}"


def number(interval: dict | None, decimals: int = 2, factor: float = 1.0) -> str:
    """An interval as `mean [low, high]`; the mean alone where there is no interval or no spread."""
    if interval is None:
        return "-"
    mean, low, high = interval["mean"], interval["low"], interval["high"]
    text = lambda value: f"{value * factor:,.{decimals}f}"
    middle = text(round(mean * factor, decimals) / factor + 0.0)  # no -0.00
    return middle if low is None or low == high else f"{middle} [{text(low)}, {text(high)}]"


def percent(interval: dict | None) -> str:
    """Accuracies in 0..1 as `45.3 [44.1, 46.5]`; the table's head says that they are percent."""
    return number(interval, 1, 100)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))
