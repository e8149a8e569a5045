"""What an elastic search read: how the loss falls with each stage's depth, and the networks that no other beats."""

import math
import shlex
from typing import Any

from jaxstage.depths import Depths
from jaxstage.report import text
from jaxstage.report.html.collect import Run
from jaxstage.report.html.svg import CARD, INK, MARKERS, MUTED, SERIES, Chart, draw

START, CHOICE, UNIFORM = "start", "choice", "uniform"
_STYLES = {
    UNIFORM: {"marker": "D", "markersize": 5, "color": SERIES[3], "markerfacecolor": CARD},
    START: {"marker": "s", "markersize": 6.5, "color": SERIES[1]},
    CHOICE: {"marker": "*", "markersize": 12, "color": SERIES[2], "markeredgecolor": INK, "markeredgewidth": 0.5},
}


def by_stage(run: Run, key: str) -> Chart:
    """The fitted loss against the number of blocks of each stage, in the last elastic network that was read."""
    response = run.reading["response"]
    lower, choice = response["lower"], _round(run)[1]
    lines = [
        _line(low, response["level"], gains, errors)
        for low, gains, errors in zip(lower, response["gains"], response["gain_errors"])
    ]
    chosen = lambda stage, blocks: choice is not None and choice[stage] == blocks
    shift = lambda stage: 0.07 * (stage - (len(lines) - 1) / 2)

    def paint(axes):
        from matplotlib.ticker import MaxNLocator

        for stage, line in enumerate(lines):
            colour, marker = SERIES[stage % len(SERIES)], MARKERS[stage % len(MARKERS)]
            blocks, losses, errors = zip(*((blocks + shift(stage), loss, error) for blocks, loss, error in line))
            axes.errorbar(
                blocks,
                losses,
                errors,
                color=colour,
                marker=marker,
                markersize=4,
                markerfacecolor=CARD,
                elinewidth=1,
                label=f"stage {stage + 1}",
            )
            axes.plot(
                *zip(*((place, loss) for place, (depth, loss, _) in zip(blocks, line) if chosen(stage, depth))),
                color=colour,
                marker=marker,
                markersize=7.5,
                linestyle="none",
                zorder=3,
            )
        if choice is not None:
            axes.errorbar([], [], color=INK, marker="o", markersize=7.5, linestyle="none", label="chosen")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
        axes.set_xlabel("blocks of the stage")
        axes.set_ylabel("fitted loss, nats")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.1, handlelength=1.4)

    marked = f" Large, filled: the depths that were chosen, {text.depths(choice)}." if choice else ""
    return Chart(
        key,
        "How the loss falls with the depth of each stage",
        f"Fitted to what was read of {text.counted(len(run.reading['states']), 'state')} of {run.reading['name']}: the "
        f"loss with so many blocks in one stage and the others at {text.depths(lower)}. Error bars: standard errors of "
        f"the gains of the blocks up to there, as the root of the sum of their squares.{marked}",
        draw(key, 2.8, paint),
        ("stage", "blocks", "gain of the last one", "standard error", "fitted loss", "chosen"),
        [
            (
                stage + 1,
                blocks,
                *((f"{gain:.4g}", f"{error:.2g}") if gain is not None else ("", "")),
                f"{loss:.4f}",
                "yes" if chosen(stage, blocks) else "",
            )
            for stage, line in enumerate(lines)
            for (blocks, loss, _), gain, error in zip(
                line, (None, *response["gains"][stage]), (None, *response["gain_errors"][stage])
            )
        ],
    )


def costs(run: Run) -> list[str]:
    """The costs along which there is a frontier."""
    return [cost for cost in text.COSTS if run.reading and (run.reading["frontier"] or {}).get(cost)]


def frontier(run: Run, key: str, cost: str) -> Chart:
    """Loss against a cost: all states that were read, and the line of the networks that no other beats."""
    known, marks = _networks(run), _marks(run)
    line = [tuple(point["depths"]) for point in run.reading["frontier"][cost]]
    shown = {depths: it for depths, it in known.items() if it.get(cost) is not None}
    read = [it for it in shown.values() if "loss" in it]

    def paint(axes):
        axes.plot(
            [it[cost] for it in read],
            [it["loss"] for it in read],
            linestyle="none",
            marker="o",
            markersize=3.5,
            color=MUTED,
            markeredgewidth=0,
            alpha=0.5,
            label="states, as read",
        )
        axes.plot(
            [known[depths][cost] for depths in line],
            [known[depths]["fitted"] for depths in line],
            color=SERIES[0],
            marker="o",
            markersize=3.5,
            linewidth=1.2,
            label="frontier, fitted",
        )
        for kind, style in _STYLES.items():
            points = [(it[cost], it["fitted"]) for d, it in shown.items() if marks.get(d, (None,))[0] == kind]
            if points:
                axes.plot(*zip(*points), linestyle="none", label=kind, zorder=3, **style)
        axes.margins(x=0.08, y=0.12)
        low, high = axes.get_xlim()
        for depths, kinds in marks.items():
            if depths in shown:
                _name(axes, shown[depths], cost, kinds[0], depths, (shown[depths][cost] - low) / (high - low))
        axes.set_xlabel(text.COSTS[cost])
        axes.set_ylabel("loss, nats")
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(
            lambda place, _: text.cost_of(place, cost) if cost == "latency_ms" else text.amount(place)
        )
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1, handlelength=1.4)

    return Chart(
        key,
        f"The frontier: loss against {text.COSTS[cost]}",
        f"Validation loss of the states of {run.reading['name']}, none of them trained to the end. Faint: as read; "
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
    lines = {cost: {tuple(point["depths"]) for point in run.reading["frontier"][cost]} for cost in costs(run)}
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
    if run.final and tuple(run.final["depths"]) == depths:
        return "trained by this run"
    numbers = ",".join(map(str, depths))
    return f'jaxstage train --config.source={shlex.quote(run.workdir)} --config.model.depths="({numbers})"'


def _line(lower: int, level: float, gains: list[float], errors: list[float]) -> list[tuple[int, float, float]]:
    """(blocks, fitted loss, standard error of what was gained up to there) from the lower depth on."""
    return [(lower + added, level - sum(gains[:added]), math.hypot(*errors[:added])) for added in range(len(gains) + 1)]


def _round(run: Run) -> tuple[Depths, Depths | None]:
    """(where the round of the reading began, what it chose or None while that is open)."""
    round = next((round for round in run.rounds if round["probe"] == run.reading["name"]), None)
    if round is None:
        return tuple(run.reading["lower"]), None
    return tuple(run[round["current"]]["depths"]), round["next"] and tuple(run[round["next"]]["depths"])


def _networks(run: Run) -> dict[Depths, dict[str, Any]]:
    """{depths: what is known of that network} of all that were read or lie on a frontier; `fitted` is always there.

    A frontier tells the cost along which it runs, and what the search stood on has the others, too.
    """
    known = {tuple(state["depths"]): dict(state) for state in run.reading["states"]}
    for cost in costs(run):
        for point in run.reading["frontier"][cost]:
            network = known.setdefault(tuple(point["depths"]), {"fitted": point["loss"]})
            network[cost] = point["cost"]
            network.setdefault("accuracy", point["accuracy"])
    for candidate in run.path:
        if network := known.get(tuple(candidate["depths"])):
            network.update(macs=candidate["macs"], parameters=candidate["parameters"])
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
