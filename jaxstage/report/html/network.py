"""The pictures of what a run has come to: the network block by block, and how it grew."""

from typing import NamedTuple

from jaxstage.report import text
from jaxstage.report.html import styles
from jaxstage.report.html.collect import Run
from jaxstage.report.html.svg import CARD, INK, MUTED, RAMP, SERIES, Chart, draw

MOST_NUMBERS = 12  # rounds up to which bars are labelled
BLOCKS_A_ROW = 16
LABELS = 0.54  # how wide what stands before the blocks is, as a part of their width


class Row(NamedTuple):
    """A row of blocks: what stands before it, and with which round each block came."""

    label: str
    rounds: list[int]


def network(run: Run, key: str) -> Chart:
    """The network block by block, each in the colour of the round that it came with."""
    depths, widths = run.standing.depths, _widths(run)
    came = [[_round_of(run, stage, block) for block in range(depth)] for stage, depth in enumerate(depths)]
    groups = _group(max(map(max, came)))
    rows = [row for stage, rounds in enumerate(came) for row in _rows(stage, rounds, widths)]
    columns = min(max(*depths, 8), BLOCKS_A_ROW)

    def paint(axes):
        axes.set_axis_off()
        for number, row in enumerate(rows):
            if row.label:
                _write(axes, number, row.label)
            _paint_blocks(axes, number, row.rounds, groups, LABELS * columns)
        _write(axes, -1, f"images{_input(run)}, stem", MUTED)
        _write(axes, len(rows), f"pooling, head{_classes(run)}", MUTED)
        if len(groups) > 1:
            _explain(axes, groups)
        axes.set_xlim(0, LABELS * columns + columns)
        axes.set_ylim(-len(rows) - 0.5, 1.5)

    legend_rows = -(-len(groups) // 3) if len(groups) > 1 else 0
    height = (0.42 if len(rows) < 8 else 0.36) * (len(rows) + 2) + 0.2 * legend_rows
    told = " The colour tells with which round a block came." if len(groups) > 1 else ""
    parts = [f"stage {stage + 1} has {text.counted(depth, 'block')}" for stage, depth in enumerate(depths)]
    return Chart(
        key,
        "The network, block by block",
        f"From the images to the classes: {', '.join(parts)}.{told}",
        draw(key, height, paint),
        ("stage", "blocks", "filters", "from the start", "added in rounds"),
        [
            (
                stage + 1,
                depth,
                widths[stage] if stage < len(widths) else "",
                came[stage].count(0),
                ", ".join(str(r) for r in dict.fromkeys(came[stage]) if r) or "none",
            )
            for stage, depth in enumerate(depths)
        ],
    )


def growth(run: Run, key: str) -> Chart:
    """The depths after each round, stacked."""
    path = run.record.path
    depths = [candidate.depths for candidate in path]
    stages, rounds, tallest = len(depths[0]), range(len(depths)), max(map(sum, depths))

    def paint(axes):
        bottom = [0] * len(depths)
        for stage in range(stages):
            heights = [row[stage] for row in depths]
            bars = axes.bar(
                rounds,
                heights,
                bottom=bottom,
                width=0.8,
                color=SERIES[stage % len(SERIES)],
                edgecolor=CARD,
                linewidth=0.8 if len(depths) < 30 else 0.2,
                label=f"stage {stage + 1}",
            )
            if len(depths) <= MOST_NUMBERS:
                numbers = [height if height > 0.09 * tallest else "" for height in heights]  # what has room
                axes.bar_label(bars, numbers, label_type="center", color=CARD, fontsize=8.5, fontweight="bold")
            bottom = [low + height for low, height in zip(bottom, heights)]
        axes.set_xlabel("round (0: the start)")
        axes.set_ylabel("blocks")
        axes.grid(axis="x", visible=False)
        styles.whole_rounds(axes, 0, len(depths) - 1)
        styles.legend(axes, min(stages, 5))

    ends = "; ".join(f"stage {s + 1} from {depths[0][s]} to {depths[-1][s]}" for s in range(stages))
    return Chart(
        key,
        "Growth over the rounds",
        f"Blocks of each stage after each round: {ends}.",
        draw(key, 2.4, paint),
        ("round", *(f"stage {stage + 1}" for stage in range(stages)), text.COSTS["parameters"], text.COSTS["macs"]),
        [
            (number, *c.depths, text.cost_of(c.parameters, "parameters"), text.cost_of(c.macs, "macs"))
            for number, c in enumerate(path)
        ],
    )


def _rows(stage: int, rounds: list[int], widths: list[int]) -> list[Row]:
    """The rows that a stage takes; its name stands before the first."""
    filters = f" × {widths[stage]} filters" if stage < len(widths) else ""
    label = f"stage {stage + 1}\n{text.counted(len(rounds), 'block')}{filters}"
    parts = [rounds[first : first + BLOCKS_A_ROW] for first in range(0, len(rounds), BLOCKS_A_ROW)]
    return [Row("" if number else label, part) for number, part in enumerate(parts)]


def _write(axes, row: int, line: str, colour: str = INK) -> None:
    axes.text(0, -row, line, va="center", fontsize=8.5, color=colour, linespacing=1.3)


def _paint_blocks(axes, row: int, rounds: list[int], groups: list[range], left: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    box = "round,pad=0,rounding_size=0.13"
    for block, number in enumerate(rounds):
        colour = RAMP[next(place for place, group in enumerate(groups) if number in group)]
        corner = (left + block + 0.07, -row - 0.38)
        axes.add_patch(FancyBboxPatch(corner, 0.86, 0.76, boxstyle=box, facecolor=colour, edgecolor=INK, linewidth=0.6))


def _explain(axes, groups: list[range]) -> None:
    """The legend: which colour came with which rounds."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=RAMP[place], edgecolor=INK, linewidth=0.6, label=_rounds(group))
        for place, group in enumerate(groups)
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=3, handlelength=1)


def _round_of(run: Run, stage: int, block: int) -> int:
    """The round that a block of the final network came with; 0 for the start."""
    return next((r for r, candidate in enumerate(run.record.path) if candidate.depths[stage] > block), 0)


def _group(rounds: int) -> list[range]:
    """The rounds from 0 on in as many groups as there are colours, the start alone."""
    size = -(-rounds // (len(RAMP) - 1)) or 1
    return [range(1), *(range(first, min(first + size, rounds + 1)) for first in range(1, rounds + 1, size))]


def _rounds(group: range) -> str:
    if group[0] == 0:
        return "start"
    return f"round {group[0]}" if len(group) == 1 else f"rounds {group[0]}–{group[-1]}"


def _widths(run: Run) -> list[int]:
    return (run.network or {}).get("widths") or run.config.get("model.widths") or []


def _input(run: Run) -> str:
    return " " + "×".join(map(str, run.network["input_shape"])) if run.network else ""


def _classes(run: Run) -> str:
    return f" of {run.network['num_classes']} classes" if run.network and run.network["num_classes"] else ""
