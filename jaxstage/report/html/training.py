"""The pictures of what a run did: who inherited from whom, training curves, and where the time went."""

from typing import NamedTuple

from jaxstage.report import text
from jaxstage.report.html import styles
from jaxstage.report.html.collect import Run
from jaxstage.report.html.svg import CARD, GRID, MARKERS, MUTED, SERIES, Chart, draw
from jaxstage.workdir.record import Candidate

MOST_POINTS = 3000  # of all curves together
MOST_ROWS = MOST_POINTS // 2
FEW = 100  # validations up to which each has a marker


def lineage(run: Run, key: str) -> Chart:
    """Who inherited from whom: the candidates that the search stood on below, the probes or elastic networks above."""
    candidates, place = run.record.candidates, _places(run)
    last = len(run.record.rounds) + 1
    aside = "elastic network" if run.elastic else "probe, left"
    squares = " Squares: elastic networks with all blocks on; what follows is a state of one." if run.elastic else ""
    stood = {candidate.name for candidate in run.record.path}
    size = 5.5 if last < 20 else 2.6

    def paint(axes):
        for candidate in candidates:
            if candidate.parent in place:
                _point(axes, place[candidate.parent], place[candidate.name], size, 7 if last < 20 else 3.5)
        kinds = (
            ("stood on", lambda c: c.name in stood, "o", SERIES[0], SERIES[0]),
            (aside, lambda c: c.name not in stood and c.role != "final", "s", SERIES[1], CARD),
            ("final training", lambda c: c.role == "final", "D", SERIES[2], SERIES[2]),
        )
        for label, belongs, marker, edge, face in kinds:
            points = [place[c.name] for c in candidates if belongs(c)]
            if points:
                look = dict(marker=marker, markersize=size, color=edge, markerfacecolor=face)
                axes.plot(*zip(*points), linestyle="none", label=label, **look)
        for candidate in candidates if last <= 7 else ():
            x, y = place[candidate.name]
            label = ",".join(map(str, candidate.depths))
            axes.annotate(label, (x, y), (0, 8 if y else -14), textcoords="offset points", ha="center", fontsize=8.5)
        axes.set_ylim(-0.5, 1.5)
        axes.set_yticks([0, 1], ["next", "elastic" if run.elastic else "probe"])
        axes.grid(visible=False)
        axes.set_xlabel("round (0: the start)")
        styles.whole_rounds(axes, 0, last)
        styles.legend(axes, 3)

    return Chart(
        key,
        "Who inherited from whom",
        f"{len(candidates)} candidates; an arrow leads from the one whose weights were inherited to the one that took "
        f"them. Filled circles: the search stood on it. Numbers are depths.{squares}",
        draw(key, 1.9, paint),
        ("candidate", "role", "depths", "inherits from"),
        [(c.name, c.role, text.span(c.lower, c.depths), c.parent or "nothing") for c in candidates],
    )


class Segment(NamedTuple):
    """The training of one candidate, as a part of all of them one after the other.

    Attributes:
      candidate: that was trained.
      begin: epochs that were trained before it.
      training, validation: lines of metrics.jsonl.
    """

    candidate: Candidate
    begin: float
    training: list[dict]
    validation: list[dict]

    @property
    def look(self) -> tuple[int, str]:
        """(series, label)."""
        roles = {"probe": (1, "probe"), "final": (2, "final training"), "elastic": (3, "elastic network")}
        return roles.get(self.candidate.role, (0, "start or grown"))


def curves(run: Run, key: str) -> Chart:
    """Training and validation of all candidates, one after the other as they were trained."""
    epoch = run.steps_per_epoch or 1
    segments, end = _segments(run, epoch)
    every = max(1, -(-sum(len(one.training) + len(one.validation) for one in segments) // MOST_POINTS))
    accuracies = [line["accuracy"] for one in segments for line in one.validation]

    def paint(*panels):
        named = set()
        for segment in segments:
            _, label = segment.look
            for axes, what in zip(panels, ("accuracy", "loss")):
                told = None if label in named else label
                _paint_curve(axes, segment, what, epoch, every, told, few=len(accuracies) <= FEW)
            named.add(label)
        for segment in segments if len(segments) <= 25 else ():
            for axes in panels:
                axes.axvline(segment.begin, color=GRID, linewidth=0.9)
        _scale_accuracies(panels[0], accuracies)
        _scale_losses(panels[1])
        panels[1].set_xlabel("epochs, all training runs one after the other")
        for axes in panels:
            axes.grid(axis="x", visible=False)
            axes.set_xlim(0, end)
        styles.legend(panels[0], 3, loc="lower right")

    return Chart(
        key,
        "Training curves",
        "Accuracy and loss of all candidates over the epochs; strong with markers: validation, images set aside "
        "from the training split; faint: training. Where "
        "a curve begins high, the weights were inherited."
        + (" An elastic network is trained in all its states at once." if run.elastic else ""),
        draw(key, 3.8, paint, 2),
        ("candidate", "epoch", "training accuracy", "training loss", "validation accuracy", "validation loss"),
        _curve_rows(segments, epoch),
    )


def time_line(run: Run, key: str) -> Chart:
    """What the wall time went into, in the order in which it was spent."""
    pieces, now = {}, 0.0
    for candidate in run.record.candidates:
        for activity, seconds in candidate.seconds.items():
            name = f"final {activity}" if candidate.role == "final" else activity
            pieces.setdefault(name, []).append((now, seconds))
            now += seconds
    if run.record.seconds > now:
        pieces["everything else"] = [(now, run.record.seconds - now)]
    total = sum(seconds for spans in pieces.values() for _, seconds in spans) or 1.0
    unit, size = text.time_unit(total)
    rows = [(name, len(spans), sum(seconds for _, seconds in spans)) for name, spans in pieces.items()]

    def paint(axes):
        for row, (name, spans) in enumerate(pieces.items()):
            colour = MUTED if name == "everything else" else SERIES[row % len(SERIES)]
            spans = [(begin / size, seconds / size) for begin, seconds in spans]
            axes.broken_barh(spans, (row - 0.32, 0.64), facecolors=colour, linewidth=0)
        axes.set_yticks(range(len(rows)), [f"{name}  {seconds / total:.0%}" for name, _, seconds in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, total / size)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{unit}, without breaks")

    return Chart(
        key,
        "Time line by activity",
        "; ".join(f"{name} took {text.clock(seconds)}, {seconds / total:.0%}" for name, _, seconds in rows) + ".",
        draw(key, 0.6 + 0.3 * len(rows), paint),
        ("activity", "times", "seconds", "share"),
        [(name, times, f"{seconds:,.1f}", f"{seconds / total:.1%}") for name, times, seconds in rows],
    )


def _places(run: Run) -> dict[str, tuple[int, bool]]:
    """{candidate: (its round, whether it is drawn above)}; 0 is the start, the final network comes after all rounds."""
    record = run.record
    rounds = {record.candidates[0].name: 0}
    for number, round in enumerate(record.rounds, start=1):
        for name in (round.probe, round.next):
            rounds.setdefault(name, number)  # a round may lead to where the search stood already
    last = len(record.rounds) + 1
    return {
        c.name: (last if c.role == "final" else rounds.get(c.name, 0), c.role in ("probe", "elastic"))
        for c in record.candidates
    }


def _point(axes, begin: tuple, end: tuple, room: float, head: float) -> None:
    """An arrow between two candidates; room: the size of their markers."""
    arrow = {"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.9, "mutation_scale": head}
    axes.annotate("", end, begin, arrowprops={**arrow, "shrinkA": room / 1.6, "shrinkB": room / 1.6})


def _segments(run: Run, epoch: int) -> tuple[list[Segment], float]:
    """All that was trained, and how many epochs it took together; epoch: its steps."""
    segments, begin = [], 0.0
    for candidate in run.record.candidates:
        if splits := run.curves.get(candidate.name):
            segments.append(Segment(candidate, begin, splits.get("train", []), splits.get("validation", [])))
            begin += max(line["step"] for lines in splits.values() for line in lines) / epoch
    return segments, begin


def _paint_curve(axes, segment: Segment, what: str, epoch: int, every: int, label: str | None, few: bool) -> None:
    """Training and validation of a candidate; what: accuracy or loss."""
    series, _ = segment.look
    marked = {"marker": MARKERS[series], "markersize": 3} if few else {}
    for lines, style in (
        (segment.training, {"alpha": 0.45, "linewidth": 1.0}),
        (segment.validation, {"linewidth": 1.5 if few else 1.0, "label": label, **marked}),
    ):
        shown = lines[::every] + (lines[-1:] if len(lines) % every != 1 and every > 1 else [])
        x = [segment.begin + line["step"] / epoch for line in shown]
        axes.plot(x, [line[what] for line in shown], color=SERIES[series], **style)


def _scale_accuracies(axes, accuracies: list[float]) -> None:
    styles.shares(axes)
    axes.set_title("accuracy")
    if len(accuracies) > 5:  # the first epochs from random weights would press the rest flat
        worst = sorted(accuracies)[len(accuracies) // 20]
        axes.set_ylim(max(0.0, worst - 0.25 * (1 - worst)), min(1.0, axes.get_ylim()[1]) + 0.02 * (1 - worst))


def _scale_losses(axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_title("loss")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _curve_rows(segments: list[Segment], epoch: int) -> list[tuple]:
    """The curves at the ends of epochs."""
    every = max(1, -(-sum(len(segment.validation) for segment in segments) // MOST_ROWS))
    rows = []
    for segment in segments:
        for line in segment.validation[::-1][::every][::-1]:
            latest = next((t for t in reversed(segment.training) if t["step"] <= line["step"]), None)
            rows.append(
                (
                    segment.candidate.name,
                    f"{line['step'] / epoch:g}",
                    *((text.percent(latest["accuracy"]), f"{latest['loss']:.4f}") if latest else ("", "")),
                    text.percent(line["accuracy"]),
                    f"{line['loss']:.4f}",
                )
            )
    return rows
