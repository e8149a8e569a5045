"""From numbers with intervals to words: tables, and sentences that follow from a comparison and nothing else."""

BETTER, WORSE, TIE, SAME, UNKNOWN = "better", "worse", "tie", "same", "unknown"


def outcome(difference: dict) -> str:
    """What the interval of a difference, first minus second, says of the first."""
    if difference["low"] is None:
        return UNKNOWN
    if difference["low"] == difference["high"] == 0:
        return SAME
    if difference["low"] > 0:
        return BETTER
    return WORSE if difference["high"] < 0 else TIE


def verdict(first: str, second: str, difference: dict) -> str:
    """A sentence on two accuracies.

    Args:
      first, second: what is compared.
      difference: interval of the first's accuracy minus the second's, each in 0..1.
    """
    points = f"{difference['mean'] * 100:+.1f} points"
    if difference["low"] is not None:
        points += f" [{difference['low'] * 100:+.1f}, {difference['high'] * 100:+.1f}]"
    return {
        BETTER: f"{first} is **better** than {second}, outside the interval: {points}.",
        WORSE: f"{first} is **worse** than {second}, outside the interval: {points}.",
        TIE: f"{first} and {second} **tie**: {points}.",
        SAME: f"{first} and {second} are **the same** in every seed.",
        UNKNOWN: f"Of {first} and {second} one seed tells nothing: {points}.",
    }[outcome(difference)]


def standings(differences: dict[str, dict], phrases: dict[str, str]) -> str:
    """Who is where, like `better than a and b; in a tie with c`.

    Args:
      differences: by name, interval of the first's accuracy (or gain) minus that of this one.
      phrases: the words for each outcome; they decide the order.
    """
    told = []
    for result, words in phrases.items():
        if names := [name for name, difference in differences.items() if outcome(difference) == result]:
            told.append(f"{words} {' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))}")
    return "; ".join(told)


def percent(interval: dict | None) -> str:
    """Accuracies in 0..1 as `45.3 [44.1, 46.5]`; the table's head says that they are percent."""
    return number(interval, 1, 100)


def number(interval: dict | None, decimals: int = 2, factor: float = 1.0) -> str:
    """An interval as `mean [low, high]`; the mean alone where there is no interval or no spread."""
    if interval is None:
        return "-"
    mean, low, high = interval["mean"], interval["low"], interval["high"]
    text = lambda value: f"{value * factor:,.{decimals}f}"
    return text(mean) if low is None or low == high else f"{text(mean)} [{text(low)}, {text(high)}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))
