"""What was measured of the stages before each decision, and what was decided: pictures and a table."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxstage.report import text
from jaxstage.report.html import styles
from jaxstage.report.html.collect import Run
from jaxstage.report.html.svg import CARD, GRID, MUTED, SERIES, Chart, draw
from jaxstage.workdir.record import StageDecision


class Moment(NamedTuple):
    """When scores are taken.

    Attributes:
      number: of a decision, before or after.
      label: in the legend.
      offset: of its points from the round's middle, so that they do not hide each other.
      series, face: which series draws them, and the colour inside the markers.
    """

    number: str
    label: str
    offset: float
    series: int
    face: str


COMPARED = (Moment("before", "before", -0.13, 0, CARD), Moment("after", "after (probe)", 0.13, 1, SERIES[1]))
ADDED = (Moment("after", "added blocks", 0.0, 1, SERIES[1]),)


def importance(run: Run, key: str) -> Chart:
    """Each stage's importance before and after every round, with standard errors; rounds that grew it are shaded."""
    rounds = run.record.decided
    stages = len(rounds[0])
    moments = ADDED if run.elastic else COMPARED

    def paint(*panels):
        for stage, axes in enumerate(panels):
            _paint_scores(axes, [decisions[stage] for decisions in rounds], moments)
            axes.set_title(f"stage {stage + 1}")
        styles.whole_rounds(panels[-1], 1, len(rounds))
        panels[-1].set_xlabel("round")
        handles, labels = panels[0].get_legend_handles_labels()
        unique = dict(zip(labels, handles))
        panels[0].legend(
            unique.values(), unique.keys(), loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.1
        )

    told = "Score of each stage before a round and in its probe"
    if run.elastic:
        told = "Nats by which the loss is higher with a stage's added blocks off, mean over the other stages' states"
    numbers = ("importance",) if run.elastic else ("before", "standard error", "after")
    return Chart(
        key,
        "Importance of the stages" + ("' added blocks" if run.elastic else ""),
        f"{told}, with one standard error, over {text.counted(len(rounds), 'round')}; a shaded round grew the stage.",
        draw(key, 0.6 + 1.05 * stages, paint, stages),
        ("round", "stage", *numbers, "standard error", "grown"),
        [
            (
                *place,
                *("" if value is None else f"{value:.4g}" for m in moments for value in decision.number(m.number)),
                text.yes_or_no(decision.grows),
            )
            for *place, decision in _numbered(rounds)
        ],
    )


def compares(run: Run) -> bool:
    """Whether the decisions compare scores before and after; some rules know only one of them."""
    found = [decision.rise for *_, decision in _numbered(run.record.decided)]
    return bool(found) and None not in found


def rise(run: Run, key: str) -> Chart:
    """What the decisions rest on: the rise of every score with its standard error."""
    rounds = run.record.decided
    stages = len(rounds[0])
    relative = run.config.get("growth.rule") != "absolute_rise"
    shift = lambda stage: (stage - (stages - 1) / 2) * 0.7 / stages

    def paint(axes):
        axes.axhline(0, color=MUTED, linewidth=0.9)
        for stage in range(stages):
            series = styles.series(stage)
            for grows in (True, False):
                points = [
                    (number + shift(stage), *decisions[stage].number("rise"))
                    for number, decisions in enumerate(rounds, start=1)
                    if decisions[stage].grows == grows
                ]
                axes.errorbar(
                    *(zip(*points) if points else ((), (), ())),
                    linestyle="none",
                    markersize=_size(rounds, 4.5),
                    markerfacecolor=series["color"] if grows else CARD,
                    elinewidth=1,
                    **series,
                )
            axes.plot([], [], linestyle="none", label=f"stage {stage + 1}", **series)
        axes.set_ylabel("relative rise" if relative else "rise")
        axes.set_xlabel("round")
        axes.grid(axis="x", visible=False)
        styles.whole_rounds(axes, 1, len(rounds))
        styles.legend(axes, min(stages, 5))

    return Chart(
        key,
        "Rise of the importance, which decides",
        "Rise of each stage's score from before a round to its probe, with one standard error; filled: the stage was "
        "grown, hollow: it was not.",
        draw(key, 2.4, paint),
        ("round", "stage", "rise", "standard error", "grown"),
        [(*place, f"{d.rise:+.4g}", f"{d.rise_error:.3g}", text.yes_or_no(d.grows)) for *place, d in _numbered(rounds)],
    )


def table(run: Run) -> tuple[tuple, list[tuple]]:
    """(head, rows); numbers that no decision has get no column, what is not known here gets columns of its own."""
    numbered = _numbered(run.record.decided)
    decisions = [decision for *_, decision in numbered]
    others = tuple(dict.fromkeys(name for decision in decisions for name in decision.others))
    shown = text.numbers_shown(decisions)
    heads = {
        "before": "before",
        "after": "importance of the added blocks" if run.elastic else "after (probe)",
        "rise": "rise",
        "evidence": decisions[0].noun if decisions else "",
    }
    head = (
        *("round", "stage", *(heads[name] for name in shown), "grown", "why"),
        *(other.replace("_", " ") for other in others),
    )
    rows = [
        (
            *place,
            *(text.measured(*decision.number(name)) for name in shown),
            text.yes_or_no(decision.grows),
            decision.why,
            *(_other(decision.others.get(name)) for name in others),
        )
        for *place, decision in numbered
    ]
    return head, rows


def _numbered(rounds: Sequence[Sequence[StageDecision]]) -> list[tuple[int, int, StageDecision]]:
    """(round, stage, decision), both counted from 1."""
    return [(n, stage, d) for n, decisions in enumerate(rounds, 1) for stage, d in enumerate(decisions, 1)]


def _paint_scores(axes, decisions: Sequence[StageDecision], moments: Sequence[Moment]) -> None:
    """The scores of one stage over the rounds."""
    from matplotlib.ticker import MaxNLocator

    for number, decision in enumerate(decisions, start=1):
        if decision.grows:
            axes.axvspan(number - 0.4, number + 0.4, color=GRID, linewidth=0, label="grown")
    for moment in moments:
        scores = [(n + moment.offset, *d.number(moment.number)) for n, d in enumerate(decisions, start=1)]
        if not (there := [point for point in scores if point[1] is not None]):
            continue
        series = styles.series(moment.series)
        axes.errorbar(
            *zip(*there),
            linestyle="none",
            markersize=_size(decisions, 4),
            markerfacecolor=moment.face,
            ecolor=series["color"],
            elinewidth=1,
            label=moment.label,
            **series,
        )
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=3))
    axes.yaxis.set_major_formatter(lambda score, _: f"{score:.3g}")
    axes.margins(y=0.15)
    axes.grid(axis="x", visible=False)


def _size(rounds: Sequence, usual: float) -> float:
    """Of markers, so many rounds side by side."""
    return usual if len(rounds) < 25 else 2.5


def _other(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
