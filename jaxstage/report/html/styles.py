"""What the axes of several charts have in common."""

from jaxstage.report import text
from jaxstage.report.html.svg import MARKERS, SERIES


def series(number: int) -> dict[str, str]:
    """The colour and the marker of a stage, or of a run among several."""
    return {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}


def whole_rounds(axes, first: int, last: int) -> None:
    """The horizontal axis is one of rounds."""
    axes.set_xlim(first - 0.6, last + 0.6)
    whole_numbers(axes)


def whole_numbers(axes) -> None:
    """The horizontal axis counts something."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def shares(axes) -> None:
    """The vertical axis is one of accuracies."""
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")


def costs(axes, cost: str) -> None:
    """The horizontal axis is one of a cost, one of text.COSTS."""
    axes.set_xlabel(text.COSTS[cost])
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(
        lambda place, _: text.cost_of(place, cost) if cost == "latency_ms" else text.amount(place)
    )


def legend(axes, columns: int, handles: float = 1.2, loc: str = "lower left") -> None:
    """Above the axes, where it hides nothing; handles: how long they are, in letters."""
    anchor = (1.0 if "right" in loc else 0.0, 1.0)
    axes.legend(loc=loc, bbox_to_anchor=anchor, ncols=columns, borderaxespad=0.1, handlelength=handles)
