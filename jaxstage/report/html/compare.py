"""Pictures and tables that hold one run or several, and reference networks."""

from typing import NamedTuple

from jaxstage.config import MAY_CHANGE
from jaxstage.report import text
from jaxstage.report.html import styles
from jaxstage.report.html.collect import Reference, Run
from jaxstage.report.html.svg import CARD, INK, SERIES, Chart, draw
from jaxstage.workdir.record import Candidate

COSTS = ("macs", "parameters")  # of which all networks are known to have one


class Point(NamedTuple):
    """A network by its cost and its accuracy, 0..1."""

    name: str
    cost: int
    accuracy: float


class Points(NamedTuple):
    """The points of one run.

    Attributes:
      path: the candidates that the search stood on.
      aside: the others that were trained before the end.
      ended: the final network with its test accuracy, if that is known.
      all: all validation accuracies, in the order in which they came up.
    """

    path: list[Point]
    aside: list[Point]
    ended: Point | None
    all: list[Point]


def against(runs: list[Run], references: list[Reference], what: str, key: str) -> Chart:
    """Accuracy against `macs` or `parameters`: each search as a path, probes beside it, final networks, references."""
    series = [_points(run, what) for run in runs]
    given = [Point(reference.name, getattr(reference, what), reference.accuracy) for reference in references]

    def paint(axes):
        for number, (run, points) in enumerate(zip(runs, series)):
            if len(runs) == 1:
                left = "elastic, all on" if run.elastic else "probe, left"
                _paint_run(axes, number, points, "search", left, "final, test")
            else:
                _paint_run(axes, number, points, run.name, None, None if points.path else run.name)
        _paint_references(axes, given)
        axes.margins(x=0.2 if references else 0.12)
        styles.costs(axes, what)
        styles.shares(axes)
        styles.legend(axes, 3 if len(runs) == 1 else 2, handles=2.0)

    lines = {
        False: "the candidates that a search stood on, validation accuracy after their short training; hollow: probes",
        True: "the states that an elastic search stood on, as read, never trained alone; hollow: all blocks on",
    }
    told = "; or ".join(lines[elastic] for elastic in sorted({run.elastic for run in runs}))
    note = " References: accuracy as given." if references else ""
    owner = lambda name: (name,) if len(runs) > 1 else ()
    rows = [(owner(run.name), *row) for run, points in zip(runs, series) for row in _rated(points)]
    rows += [(owner(""), point, "as given") for point in given]
    return Chart(
        key,
        f"Accuracy against {text.COSTS[what]}",
        f"Line: {told}. Star: the final network, test accuracy. Line and star differ in kind: the star is of other pictures, "
        f"and after the final training, so a step between them is no gain or loss by either alone.{note}",
        draw(key, 2.7, paint),
        (*owner("run"), "network", text.COSTS[what], "accuracy", "on"),
        [(*of, point.name, text.cost_of(point.cost, what), text.percent(point.accuracy), on) for of, point, on in rows],
    )


def final_depths(runs: list[Run], key: str) -> Chart:
    """The depths that each run came to, stage by stage."""
    runs = [run for run in runs if run.standing]
    stages = max(len(run.standing.depths) for run in runs)
    width = 0.8 / len(runs)

    def paint(axes):
        for number, run in enumerate(runs):
            depths = run.standing.depths
            x = [stage + (number - (len(runs) - 1) / 2) * width for stage in range(1, len(depths) + 1)]
            bars = axes.bar(x, depths, width * 0.92, color=SERIES[number % len(SERIES)], label=run.name)
            if len(runs) * stages <= 18:
                axes.bar_label(bars, fontsize=8.5, padding=1)
        axes.set_xticks(range(1, stages + 1), [f"stage {stage}" for stage in range(1, stages + 1)])
        axes.set_ylabel("blocks")
        axes.grid(axis="x", visible=False)
        styles.legend(axes, 2)

    return Chart(
        key,
        "Depths side by side",
        "Blocks of each stage in the network that each run has come to.",
        draw(key, 2.5, paint),
        ("run", *(f"stage {stage}" for stage in range(1, stages + 1))),
        [(run.name, *run.standing.depths) for run in runs],
    )


def progress(runs: list[Run], key: str) -> Chart:
    """Validation accuracy against the time that a run had taken by then."""
    series = []
    for run in runs:
        spent, points = 0.0, []
        for candidate in run.record.models:
            spent += sum(candidate.seconds.values())
            if candidate.validation:
                points.append((spent, candidate.validation["accuracy"], candidate.name))
        if points:
            series.append((run.name, points))
    longest = max(points[-1][0] for _, points in series)
    unit, size = text.time_unit(longest)

    def paint(axes):
        for number, (name, points) in enumerate(series):
            axes.plot(
                [seconds / size for seconds, *_ in points],
                [accuracy for _, accuracy, _ in points],
                markersize=3.5,
                label=name,
                **styles.series(number),
            )
        axes.set_xlabel(f"{unit} of training and measuring")
        styles.shares(axes)
        styles.legend(axes, 2, handles=1.4)

    return Chart(
        key,
        "Accuracy against time",
        "Validation accuracy of each candidate when its training ended.",
        draw(key, 2.5, paint),
        ("run", "candidate", "seconds", "validation accuracy"),
        [(name, c, f"{seconds:,.1f}", text.percent(a)) for name, points in series for seconds, a, c in points],
    )


def table(runs: list[Run]) -> tuple[tuple, list[tuple]]:
    """(head, rows): what each run came to, a row each."""
    head = (
        "run",
        "data",
        "depths",
        "MACs",
        "parameters",
        "test accuracy",
        "validation accuracy",
        "models trained",
        "time",
        "seed",
    )
    rows = []
    for run in runs:
        standing = run.standing
        rows.append(
            (
                run.name,
                run.data,
                text.depths(standing.depths) if standing else "",
                text.amount(standing.macs) if standing else "",
                text.amount(standing.parameters) if standing else "",
                text.percent(run.test_accuracy),
                text.percent(run.validation_accuracy),
                run.record.models_trained or "",
                text.clock(run.record.seconds) if run.record.seconds else "",
                run.config.get("seed", ""),
            )
        )
    return head, rows


def config_differences(runs: list[Run]) -> tuple[tuple, list[tuple]]:
    """(head, rows): the config keys in which the runs differ, but for those that alter no result."""
    runs = [run for run in runs if run.config]
    keys = sorted({key for run in runs for key in run.config} - set(MAY_CHANGE))
    rows = [(key, *(text.value(run.config[key]) if key in run.config else "" for run in runs)) for key in keys]
    return ("key", *(run.name for run in runs)), [row for row in rows if len(set(row[1:]) - {""}) > 1]


def _points(run: Run, what: str) -> Points:
    path = [candidate for candidate in run.record.path if candidate.validation]
    aside = [c for c in run.record.validated if c not in path and c.role != "final"]
    point = lambda c: Point(c.name, getattr(c, what), c.validation["accuracy"])
    ended = _ended(run)
    return Points(
        list(map(point, path)),
        list(map(point, aside)),
        ended and Point("final network", getattr(ended, what), run.test_accuracy),
        list(map(point, run.record.validated)),
    )


def _rated(points: Points) -> list[tuple[Point, str]]:
    """All points of a run, and on what their accuracy was taken."""
    rows = [(point, "validation") for point in points.all]
    return [*rows, (points.ended, "test")] if points.ended else rows


def _paint_run(axes, number: int, points: Points, path: str, aside: str | None, ended: str | None) -> None:
    """A run's points in its colour, with what the legend calls them."""
    series = styles.series(number)
    places = lambda some: zip(*((point.cost, point.accuracy) for point in some))
    if points.path:
        axes.plot(*places(points.path), markersize=3.5, linewidth=1.2, label=path, **series)
    if points.aside:
        look = dict(markersize=4.5, markerfacecolor=CARD)
        axes.plot(*places(points.aside), linestyle="none", label=aside, **look, **series)
    if points.ended:
        look = dict(marker="*", markersize=11, color=series["color"], markeredgecolor=INK, markeredgewidth=0.5)
        axes.plot(*places([points.ended]), linestyle="none", label=ended, **look)


def _paint_references(axes, references: list[Point]) -> None:
    for number, (name, *place) in enumerate(references):
        label = None if number else "reference"
        axes.plot(*([one] for one in place), linestyle="none", marker="X", color=INK, markersize=5, label=label)
        axes.annotate(name, place, (5, -3), textcoords="offset points", fontsize=8)


def _ended(run: Run) -> Candidate | None:
    """The final network, if a test accuracy of it is known."""
    return run.standing if run.test_accuracy is not None else None
