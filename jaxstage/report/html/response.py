"""What an elastic search read: how the loss falls with each stage's depth, and the networks that no other beats."""

import math
import shlex
from dataclasses import asdict
from typing import Any, NamedTuple

from jaxstage.depths import Depths
from jaxstage.report import text
from jaxstage.report.html import styles
from jaxstage.report.html.collect import Run
from jaxstage.report.html.svg import CARD, INK, MUTED, SERIES, Chart, draw
from jaxstage.workdir.findings import Fitted

START, CHOICE, UNIFORM = "start", "choice", "uniform"
_STYLES = {
    UNIFORM: {"marker": "D", "markersize": 5, "color": SERIES[3], "markerfacecolor": CARD},
    START: {"marker": "s", "markersize": 6.5, "color": SERIES[1]},
    CHOICE: {"marker": "*", "markersize": 12, "color": SERIES[2], "markeredgecolor": INK, "markeredgewidth": 0.5},
}


class Step(NamedTuple):
    """A stage at so many blocks, the others at their lowest depths: what the response says of it.

    Attributes:
      blocks: of the stage.
      loss: fitted.
      gain, error: of the last block, with its standard error; None at the lowest depth.
      error_so_far: standard error of what was gained up to there.
      chosen: whether the search chose this depth.
    """

    blocks: int
    loss: float
    gain: float | None
    error: float | None
    error_so_far: float
    chosen: bool


def by_stage(run: Run, key: str) -> Chart:
    """The fitted loss against the number of blocks of each stage, in the last elastic network that was read."""
    read = run.record.last_read
    lower, choice = read.found.response.lower, _round(run)[1]
    lines = [_steps(read.found.response, stage, choice and choice[stage]) for stage in range(len(lower))]

    def paint(axes):
        for stage, line in enumerate(lines):
            _paint_steps(axes, stage, line, shift=0.07 * (stage - (len(lines) - 1) / 2))
        if choice is not None:
            axes.errorbar([], [], color=INK, marker="o", markersize=7.5, linestyle="none", label="chosen")
        styles.whole_numbers(axes)
        axes.set_xlabel("blocks of the stage")
        axes.set_ylabel("fitted loss, nats")
        styles.legend(axes, 4, handles=1.4)

    marked = f" Large, filled: the depths that were chosen, {text.depths(choice)}." if choice else ""
    return Chart(
        key,
        "How the loss falls with the depth of each stage",
        f"Fitted to what was read of {text.counted(len(read.found.states), 'state')} of {read.name}: the "
        f"loss with so many blocks in one stage and the others at {text.depths(lower)}. Error bars: standard errors of "
        f"the gains of the blocks up to there, as the root of the sum of their squares.{marked}",
        draw(key, 2.8, paint),
        ("stage", "blocks", "gain of the last one", "standard error", "fitted loss", "chosen"),
        [
            (
                stage,
                step.blocks,
                *((f"{step.gain:.4g}", f"{step.error:.2g}") if step.gain is not None else ("", "")),
                f"{step.loss:.4f}",
                "yes" if step.chosen else "",
            )
            for stage, line in enumerate(lines, start=1)
            for step in line
        ],
    )


def costs(run: Run) -> list[str]:
    """The costs along which there is a frontier."""
    read = run.record.last_read
    return [cost for cost in text.COSTS if read and read.found.frontier.get(cost)]


def frontier(run: Run, key: str, cost: str) -> Chart:
    """Loss against a cost: all states that were read, and the line of the networks that no other beats."""
    known, marks, read = _networks(run), _marks(run), run.record.last_read
    line = [point["depths"] for point in read.found.frontier[cost]]
    shown = {depths: it for depths, it in known.items() if it.get(cost) is not None}

    def paint(axes):
        states = [(it[cost], it["loss"]) for it in shown.values() if "loss" in it]
        faint = dict(color=MUTED, markeredgewidth=0, alpha=0.5)
        axes.plot(*zip(*states), linestyle="none", marker="o", markersize=3.5, label="states, as read", **faint)
        fitted = [(known[depths][cost], known[depths]["fitted"]) for depths in line]
        strong = dict(color=SERIES[0], linewidth=1.2)
        axes.plot(*zip(*fitted), marker="o", markersize=3.5, label="frontier, fitted", **strong)
        _paint_marks(axes, shown, marks, cost)
        styles.costs(axes, cost)
        axes.set_ylabel("loss, nats")
        styles.legend(axes, 3, handles=1.4)

    return Chart(
        key,
        f"The frontier: loss against {text.COSTS[cost]}",
        f"Validation loss of the states of {read.name}, none of them trained to the end. Faint: as read; "
        f"line: the frontier, networks whose fitted loss no other of at most their {text.COSTS[cost]} beats. Marks, at "
        "the fitted loss: where the round began, what it chose, and all stages equally deep; percentages: accuracy as "
        "read.",
        draw(key, 3.1, paint),
        ("depths", text.COSTS[cost], *_HEAD, "on the frontier", "mark"),
        [
            (
                text.depths(depths),
                text.cost_of(it[cost], cost),
                *_figures(it),
                "yes" if depths in line else "",
                ", ".join(marks.get(depths, ())),
            )
            for depths, it in sorted(shown.items(), key=lambda item: (item[1][cost], item[0]))
        ],
    )


def networks(run: Run) -> tuple[tuple, list[tuple]]:
    """(head, rows): the networks on any frontier, and how each is trained to the end; no rows before a reading."""
    frontiers = {cost: run.record.last_read.found.frontier[cost] for cost in costs(run)}
    lines = {cost: {point["depths"] for point in points} for cost, points in frontiers.items()}
    if not lines:
        return (), []
    known, marks = _networks(run), _marks(run)
    head = (
        "depths",
        *(text.COSTS[cost] for cost in lines),
        *_HEAD,
        "on the frontier of",
        "mark",
        *(("command that trains it to the end",) if run.finished else ()),
    )
    points = sorted(set().union(*lines.values()), key=lambda depths: (-known[depths]["fitted"], sum(depths), depths))
    rows = [
        (
            text.depths(depths),
            *(text.cost_of(known[depths].get(cost), cost) for cost in lines),
            *_figures(known[depths]),
            ", ".join(text.COSTS[cost] for cost, line in lines.items() if depths in line),
            ", ".join(marks.get(depths, ())),
            *((_command(run, depths),) if run.finished else ()),
        )
        for depths in points
    ]
    return head, rows


_HEAD = ("loss as read", "standard error", "fitted loss", "accuracy as read")


def _figures(network: dict[str, Any]) -> tuple[str, ...]:
    shown = lambda name, digits: f"{network[name]:.{digits}}" if network.get(name) is not None else ""
    return shown("loss", "4f"), shown("error", "2g"), shown("fitted", "4f"), text.percent(network.get("accuracy"))


def _command(run: Run, depths: Depths) -> str:
    if run.record.final and run.record.final.depths == depths:
        return "trained by this run"
    numbers = ",".join(map(str, depths))
    return f'jaxstage train --config.source={shlex.quote(run.workdir)} --config.model.depths="({numbers})"'


def _steps(response: Fitted, stage: int, choice: int | None) -> list[Step]:
    """From the lower depth of a stage on; choice: the depth that was chosen."""
    lower, gains, errors = response.lower[stage], response.gains[stage], response.gain_errors[stage]
    return [
        Step(
            lower + added,
            response.level - sum(gains[:added]),
            gains[added - 1] if added else None,
            errors[added - 1] if added else None,
            math.hypot(*errors[:added]),
            lower + added == choice,
        )
        for added in range(len(gains) + 1)
    ]


def _paint_steps(axes, stage: int, line: list[Step], shift: float) -> None:
    """A stage's line; shift: to the side, so that the stages do not hide each other."""
    series = styles.series(stage)
    points = [(step.blocks + shift, step.loss, step.error_so_far) for step in line]
    look = dict(markersize=4, markerfacecolor=CARD, elinewidth=1)
    axes.errorbar(*zip(*points), label=f"stage {stage + 1}", **look, **series)
    chosen = [(step.blocks + shift, step.loss) for step in line if step.chosen]
    axes.plot(*zip(*chosen), markersize=7.5, linestyle="none", zorder=3, **series)


def _round(run: Run) -> tuple[Depths, Depths | None]:
    """(where the round of the last reading began, what it chose or None while that is open)."""
    record = run.record
    round = next((round for round in record.rounds if round.probe == record.last_read.name), None)
    if round is None:
        return record.last_read.lower, None
    return record[round.current].depths, round.next and record[round.next].depths


def _networks(run: Run) -> dict[Depths, dict[str, Any]]:
    """{depths: what is known of that network} of all that were read or lie on a frontier; `fitted` is always there.

    A frontier tells the cost along which it runs, and what the search stood on has the others, too.
    """
    found = run.record.last_read.found
    known = {state.depths: asdict(state) for state in found.states}
    for cost in costs(run):
        for point in found.frontier[cost]:
            network = known.setdefault(point["depths"], {"fitted": point["loss"]})
            network[cost] = point["cost"]
            network.setdefault("accuracy", point["accuracy"])
    for candidate in run.record.path:
        if network := known.get(candidate.depths):
            network.update(macs=candidate.macs, parameters=candidate.parameters)
    return known


def _marks(run: Run) -> dict[Depths, tuple[str, ...]]:
    """{depths: what they are, the most telling first} of the networks that a reader looks for."""
    start, choice = _round(run)
    kinds = {
        CHOICE: lambda depths: depths == choice,
        START: lambda depths: depths == start,
        UNIFORM: lambda depths: len(set(depths)) == 1,
    }
    found = {depths: tuple(kind for kind, holds in kinds.items() if holds(depths)) for depths in _networks(run)}
    return {depths: kinds for depths, kinds in found.items() if kinds}


def _paint_marks(axes, shown: dict[Depths, dict[str, Any]], marks: dict[Depths, tuple[str, ...]], cost: str) -> None:
    """The networks that a reader looks for, with their names."""
    for kind, style in _STYLES.items():
        points = [(it[cost], it["fitted"]) for d, it in shown.items() if marks.get(d, (None,))[0] == kind]
        if points:
            axes.plot(*zip(*points), linestyle="none", label=kind, zorder=3, **style)
    axes.margins(x=0.08, y=0.12)
    low, high = axes.get_xlim()
    for depths, kinds in marks.items():
        if depths in shown:
            _name(axes, shown[depths], cost, kinds[0], depths, (shown[depths][cost] - low) / (high - low))


def _name(axes, network: dict[str, Any], cost: str, kind: str, depths: Depths, place: float) -> None:
    """Writes a mark's depths beside it: above the line, or below it, where no state lies, if that is for the better.

    Place: of the mark on the horizontal axis, from 0 to 1; at its ends there is room on one side only.
    """
    label = ",".join(map(str, depths))
    if kind != UNIFORM and network.get("accuracy") is not None:
        label += f"  {network['accuracy']:.1%}"
    below = place > (0.4 if kind == CHOICE else 0.8)
    axes.annotate(
        label,
        (network[cost], network["fitted"]),
        (-6 if below else 6, -13 if below else 5),
        fontsize=8.5,
        textcoords="offset points",
        ha="right" if below else "left",
        zorder=4,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": CARD, "edgecolor": "none", "alpha": 0.75},
    )
