"""The plots of docs/RESULTS.md: small SVG files whose bytes depend on the numbers alone."""

import math
import pathlib

import matplotlib
import matplotlib.ticker

matplotlib.use("svg")
import matplotlib.pyplot as plt

STYLE = {
    "svg.hashsalt": "jaxstage",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
}
MARKERS = "osD^vP*X<>ph8d"
COLOURS = plt.get_cmap("tab10").colors


def accuracy_against_macs(path: pathlib.Path, title: str, points: list[tuple[str, bool, dict, dict]]) -> None:
    """One marker a network; those of equal MACs stand side by side instead of on each other.

    Args:
      path: the SVG.
      title: above the plot.
      points: (name, whether the marker is hollow, interval of the MACs, interval of the accuracy in 0..1).
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.6))
        taken: list[float] = []
        for place, (name, hollow, macs, accuracy) in enumerate(points):
            x = macs["mean"] / 1e6
            while any(abs(math.log(x / other)) < 0.02 for other in taken):
                x *= 1.022
            taken.append(x)
            colour = COLOURS[place % len(COLOURS)]
            axes.errorbar(
                x,
                accuracy["mean"] * 100,
                yerr=_error(accuracy, 100),
                label=name,
                fmt=MARKERS[place % len(MARKERS)],
                color=colour,
                markerfacecolor="white" if hollow else colour,
                capsize=2,
                elinewidth=0.8,
                markersize=6,
            )
        axes.set(xscale="log", xlabel="million MACs", ylabel="test accuracy, %", title=title)
        axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 6, 8), numticks=20))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7.5)
        _save(figure, path)


def bars(path: pathlib.Path, title: str, label: str, values: list[tuple[str, dict]]) -> None:
    """One horizontal bar a name, with its interval.

    Args:
      path: the SVG.
      title: above the plot.
      label: of the axis, with the unit.
      values: (name, interval), from top to bottom.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.5, 0.6 + 0.32 * len(values)))
        for place, (_, value) in enumerate(values):
            axes.barh(
                place,
                value["mean"],
                xerr=_error(value, 1),
                color="#7fa7d0",
                capsize=2,
                height=0.6,
                error_kw={"elinewidth": 0.8},
            )
        axes.set(xlabel=label, title=title, yticks=range(len(values)), yticklabels=[name for name, _ in values])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        _save(figure, path)


def _error(interval: dict, factor: float):
    if interval["low"] is None:
        return None
    mean, low, high = (interval[key] * factor for key in ("mean", "low", "high"))
    return [[mean - low], [high - mean]]


def _save(figure, path: pathlib.Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", facecolor="white", metadata={"Date": None, "Creator": None})
    plt.close(figure)
