"""The pictures of one run; each comes with its numbers as a table."""

from jaxstage.report import text
from jaxstage.report.html.collect import Run
from jaxstage.report.html.svg import CARD, GRID, INK, MARKERS, MUTED, RAMP, SERIES, Chart, draw

MOST_NUMBERS = 12  # rounds up to which bars and points are labelled
MOST_POINTS = 3000  # of all curves together
BLOCKS_A_ROW = 16


def network(run: Run, key: str) -> Chart:
    """The network block by block, each in the colour of the round that it came with."""
    standing = run.standing
    depths, widths = standing["depths"], _widths(run)
    came = [[_round_of(run, stage, block) for block in range(depth)] for stage, depth in enumerate(depths)]
    groups = _group(max(map(max, came)))
    rows = [
        (stage, came[stage][i : i + BLOCKS_A_ROW])
        for stage in range(len(depths))
        for i in range(0, depths[stage], BLOCKS_A_ROW)
    ]
    first = [stage not in (row[0] for row in rows[:i]) for i, (stage, _) in enumerate(rows)]
    inputs, outputs = _input(run), _classes(run)
    columns = min(max(*depths, 8), BLOCKS_A_ROW)
    labels = 0.54 * columns  # the width of what stands before the blocks, in blocks

    def paint(axes):
        from matplotlib.patches import FancyBboxPatch, Patch

        axes.set_axis_off()
        write = lambda row, line, size=9.0, colour=INK: axes.text(
            0, -row, line, va="center", fontsize=size, color=colour, linespacing=1.3
        )
        style = "round,pad=0,rounding_size=0.13"
        for row, (stage, rounds) in enumerate(rows):
            if first[row]:
                filters = f" × {widths[stage]} filters" if stage < len(widths) else ""
                write(row, f"stage {stage + 1}\n{text.counted(depths[stage], 'block')}{filters}", 8.5)
            for block, number in enumerate(rounds):
                colour = RAMP[next(place for place, group in enumerate(groups) if number in group)]
                corner = (labels + block + 0.07, -row - 0.38)
                axes.add_patch(
                    FancyBboxPatch(corner, 0.86, 0.76, boxstyle=style, facecolor=colour, edgecolor=INK, linewidth=0.6)
                )
        write(-1, f"images{f' {inputs}' if inputs else ''}, stem", 8.5, MUTED)
        write(len(rows), f"pooling, head{f' of {outputs} classes' if outputs else ''}", 8.5, MUTED)
        if len(groups) > 1:
            handles = [
                Patch(facecolor=RAMP[place], edgecolor=INK, linewidth=0.6, label=_rounds(group))
                for place, group in enumerate(groups)
            ]
            axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=3, handlelength=1)
        axes.set_xlim(0, labels + columns)
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
    depths = [candidate["depths"] for candidate in run.path]
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
        _whole_rounds(axes, 0, len(depths) - 1)
        _legend(axes, stages)

    ends = "; ".join(f"stage {s + 1} from {depths[0][s]} to {depths[-1][s]}" for s in range(stages))
    return Chart(
        key,
        "Growth over the rounds",
        f"Blocks of each stage after each round: {ends}.",
        draw(key, 2.4, paint),
        ("round", *(f"stage {stage + 1}" for stage in range(stages)), "parameters", "MACs"),
        [(r, *row, f"{c['parameters']:,}", f"{c['macs']:,}") for r, (row, c) in enumerate(zip(depths, run.path))],
    )


def importance(run: Run, key: str) -> Chart:
    """Each stage's importance before and after every round, with standard errors; rounds that grew it are shaded."""
    rounds = run.closed_rounds
    stages = len(rounds[0]["decisions"])
    moments = (("after", 0.0),) if run.elastic else (("before", -0.13), ("after", 0.13))

    def paint(*panels):
        from matplotlib.ticker import MaxNLocator

        for stage, axes in enumerate(panels):
            chosen = [round["decisions"][stage] for round in rounds]
            for number, decision in enumerate(chosen, start=1):
                if decision["grows"]:
                    axes.axvspan(number - 0.4, number + 0.4, color=GRID, linewidth=0, label="grown")
            for place, (which, offset) in enumerate(moments, start=2 - len(moments)):
                there = [
                    (n + offset, d[which], d[f"{which}_error"]) for n, d in enumerate(chosen, 1) if d[which] is not None
                ]
                if not there:
                    continue
                axes.errorbar(
                    *zip(*there),
                    linestyle="none",
                    marker=MARKERS[place],
                    markersize=4 if len(rounds) < 25 else 2.5,
                    markerfacecolor=(CARD, SERIES[1])[place],
                    color=SERIES[place],
                    ecolor=SERIES[place],
                    elinewidth=1,
                    label="added blocks" if run.elastic else ("before", "after (probe)")[place],
                )
            axes.set_title(f"stage {stage + 1}")
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=3))
            axes.yaxis.set_major_formatter(lambda score, _: f"{score:.3g}")
            axes.margins(y=0.15)
            axes.grid(axis="x", visible=False)
        _whole_rounds(panels[-1], 1, len(rounds))
        panels[-1].set_xlabel("round")
        handles, labels = panels[0].get_legend_handles_labels()
        unique = dict(zip(labels, handles))
        panels[0].legend(
            unique.values(), unique.keys(), loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.1
        )

    numbers = [name for which, _ in moments for name in (which, f"{which}_error")]
    told = "Score of each stage before a round and in its probe"
    if run.elastic:
        told = "Nats by which the loss is higher with a stage's added blocks off, mean over the other stages' states"
    return Chart(
        key,
        "Importance of the stages" + ("' added blocks" if run.elastic else ""),
        f"{told}, with one standard error, over {text.counted(len(rounds), 'round')}; a shaded round grew the stage.",
        draw(key, 0.6 + 1.05 * stages, paint, stages),
        (
            "round",
            "stage",
            *(("importance",) if run.elastic else ("before", "standard error", "after")),
            "standard error",
            "grown",
        ),
        [
            (
                number,
                stage,
                *("" if d[name] is None else f"{d[name]:.4g}" for name in numbers),
                "yes" if d["grows"] else "no",
            )
            for number, round in enumerate(rounds, start=1)
            for stage, d in enumerate(round["decisions"], start=1)
        ],
    )


def rise(run: Run, key: str) -> Chart:
    """What the decisions rest on: the rise of every score with its standard error."""
    rounds = run.closed_rounds
    stages = len(rounds[0]["decisions"])
    relative = run.config.get("growth.rule") != "absolute_rise"
    shift = lambda stage: (stage - (stages - 1) / 2) * 0.7 / stages

    def paint(axes):
        axes.axhline(0, color=MUTED, linewidth=0.9)
        for stage in range(stages):
            colour, marker = SERIES[stage % len(SERIES)], MARKERS[stage % len(MARKERS)]
            for grows in (True, False):
                points = [
                    (number + shift(stage), d["rise"], d["rise_error"])
                    for number, round in enumerate(rounds, start=1)
                    if (d := round["decisions"][stage])["grows"] == grows
                ]
                x, y, error = zip(*points) if points else ((), (), ())
                axes.errorbar(
                    x,
                    y,
                    error,
                    linestyle="none",
                    marker=marker,
                    markersize=4.5 if len(rounds) < 25 else 2.5,
                    markerfacecolor=colour if grows else CARD,
                    color=colour,
                    elinewidth=1,
                )
            axes.plot([], [], linestyle="none", marker=marker, color=colour, label=f"stage {stage + 1}")
        axes.set_ylabel("relative rise" if relative else "rise")
        axes.set_xlabel("round")
        axes.grid(axis="x", visible=False)
        _whole_rounds(axes, 1, len(rounds))
        _legend(axes, stages)

    return Chart(
        key,
        "Rise of the importance, which decides",
        "Rise of each stage's score from before a round to its probe, with one standard error; filled: the stage was "
        "grown, hollow: it was not.",
        draw(key, 2.4, paint),
        ("round", "stage", "rise", "standard error", "grown"),
        [
            (number, stage, f"{d['rise']:+.4g}", f"{d['rise_error']:.3g}", "yes" if d["grows"] else "no")
            for number, round in enumerate(rounds, start=1)
            for stage, d in enumerate(round["decisions"], start=1)
        ],
    )


def lineage(run: Run, key: str) -> Chart:
    """Who inherited from whom: the candidates that the search stood on below, the probes or elastic networks above."""
    candidates = run.candidates
    stood = {candidate["name"] for candidate in run.path}
    place, rounds = {}, {candidates[0]["name"]: 0}
    for number, round in enumerate(run.rounds, start=1):
        for name in (round["probe"], round["next"]):
            rounds.setdefault(name, number)  # a round may lead to where the search stood already
    last = len(run.rounds) + 1
    for candidate in candidates:
        final, above = candidate["role"] == "final", candidate["role"] in ("probe", "elastic")
        place[candidate["name"]] = (last if final else rounds.get(candidate["name"], 0), above)
    aside = "elastic network" if run.elastic else "probe, left"
    squares = " Squares: elastic networks with all blocks on; what follows is a state of one." if run.elastic else ""
    size = 5.5 if last < 20 else 2.6

    def paint(axes):
        for candidate in candidates:
            if candidate["parent"] in place:
                axes.annotate(
                    "",
                    place[candidate["name"]],
                    place[candidate["parent"]],
                    arrowprops={
                        "arrowstyle": "-|>",
                        "color": MUTED,
                        "shrinkA": size / 1.6,
                        "shrinkB": size / 1.6,
                        "linewidth": 0.9,
                        "mutation_scale": 7 if last < 20 else 3.5,
                    },
                )
        kinds = (
            ("stood on", lambda c: c["name"] in stood, "o", SERIES[0], SERIES[0]),
            (aside, lambda c: c["name"] not in stood and c["role"] != "final", "s", SERIES[1], CARD),
            ("final training", lambda c: c["role"] == "final", "D", SERIES[2], SERIES[2]),
        )
        for label, belongs, marker, edge, face in kinds:
            points = [place[c["name"]] for c in candidates if belongs(c)]
            if points:
                axes.plot(
                    *zip(*points),
                    linestyle="none",
                    marker=marker,
                    markersize=size,
                    color=edge,
                    markerfacecolor=face,
                    label=label,
                )
        if last <= 7:
            for candidate in candidates:
                x, y = place[candidate["name"]]
                label = ",".join(map(str, candidate["depths"]))
                axes.annotate(
                    label, (x, y), (0, 8 if y else -14), textcoords="offset points", ha="center", fontsize=8.5
                )
        axes.set_ylim(-0.5, 1.5)
        axes.set_yticks([0, 1], ["next", "elastic" if run.elastic else "probe"])
        axes.grid(visible=False)
        axes.set_xlabel("round (0: the start)")
        _whole_rounds(axes, 0, last)
        _legend(axes, 3)

    return Chart(
        key,
        "Who inherited from whom",
        f"{len(candidates)} candidates; an arrow leads from the one whose weights were inherited to the one that took "
        f"them. Filled circles: the search stood on it. Numbers are depths.{squares}",
        draw(key, 1.9, paint),
        ("candidate", "role", "depths", "inherits from"),
        [(c["name"], c["role"], text.span(c["lower"], c["depths"]), c["parent"] or "nothing") for c in candidates],
    )


def curves(run: Run, key: str) -> Chart:
    """Training and validation of all candidates, one after the other as they were trained."""
    epoch = run.steps_per_epoch or 1
    segments, start = [], 0.0
    for candidate in run.candidates:
        if splits := run.curves.get(candidate["name"]):
            segments.append((candidate, start, splits))
            start += max(line["step"] for lines in splits.values() for line in lines) / epoch
    points = sum(len(lines) for _, _, splits in segments for lines in splits.values())
    every = max(1, -(-points // MOST_POINTS))
    validations = [line for _, _, splits in segments for line in splits.get("validation", [])]
    few = len(validations) <= 100
    roles = {"probe": (1, "probe"), "final": (2, "final training"), "elastic": (3, "elastic network")}

    def paint(*panels):
        from matplotlib.ticker import LogLocator, NullFormatter

        named = set()
        for candidate, begin, splits in segments:
            number, label = roles.get(candidate["role"], (0, "start or grown"))
            for axes, what in zip(panels, ("accuracy", "loss")):
                for split, style in (
                    ("train", {"alpha": 0.45, "linewidth": 1.0}),
                    ("validation", {"linewidth": 1.5 if few else 1.0}),
                ):
                    lines = splits.get(split, [])
                    lines = lines[::every] + (lines[-1:] if len(lines) % every != 1 and every > 1 else [])
                    marker = {"marker": MARKERS[number], "markersize": 3} if split == "validation" and few else {}
                    axes.plot(
                        [begin + line["step"] / epoch for line in lines],
                        [line[what] for line in lines],
                        color=SERIES[number],
                        label=None if label in named or split == "train" else label,
                        **style,
                        **marker,
                    )
            named.add(label)
        for _, begin, _ in segments if len(segments) <= 25 else ():
            for axes in panels:
                axes.axvline(begin, color=GRID, linewidth=0.9)
        panels[0].yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
        panels[0].set_title("accuracy")
        panels[1].set_title("loss")
        panels[1].set_yscale("log")
        panels[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panels[1].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panels[1].yaxis.set_minor_formatter(NullFormatter())
        if len(validations) > 5:  # the first epochs from random weights would press the rest flat
            worst = sorted(line["accuracy"] for line in validations)[len(validations) // 20]
            panels[0].set_ylim(
                max(0.0, worst - 0.25 * (1 - worst)), min(1.0, panels[0].get_ylim()[1]) + 0.02 * (1 - worst)
            )
        panels[1].set_xlabel("epochs, all training runs one after the other")
        for axes in panels:
            axes.grid(axis="x", visible=False)
            axes.set_xlim(0, start)
        _legend(panels[0], 3, loc="lower right")

    return Chart(
        key,
        "Training curves",
        "Accuracy and loss of all candidates over the epochs; strong with markers: validation, faint: training. Where "
        "a curve begins high, the weights were inherited."
        + (" An elastic network is trained in all its states at once." if run.elastic else ""),
        draw(key, 3.8, paint, 2),
        ("candidate", "epoch", "training accuracy", "training loss", "validation accuracy", "validation loss"),
        _curve_rows(segments, epoch),
    )


def time_line(run: Run, key: str) -> Chart:
    """What the wall time went into, in the order in which it was spent."""
    pieces, now = {}, 0.0
    for candidate in run.candidates:
        for activity, seconds in candidate["seconds"].items():
            name = f"final {activity}" if candidate["role"] == "final" else activity
            pieces.setdefault(name, []).append((now, seconds))
            now += seconds
    if run.seconds > now:
        pieces["everything else"] = [(now, run.seconds - now)]
    total = sum(seconds for spans in pieces.values() for _, seconds in spans) or 1.0
    unit, size = next((u for u in (("hours", 3600), ("minutes", 60)) if total > 2 * u[1]), ("seconds", 1))
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


def _curve_rows(segments, epoch: int) -> list[tuple]:
    """The curves at the ends of epochs."""
    total = sum(len(splits.get("validation", [])) for _, _, splits in segments)
    every = max(1, -(-total // (MOST_POINTS // 2)))
    rows = []
    for candidate, _, splits in segments:
        training = splits.get("train", [])
        for line in splits.get("validation", [])[::-1][::every][::-1]:
            latest = next((t for t in reversed(training) if t["step"] <= line["step"]), None)
            rows.append(
                (
                    candidate["name"],
                    f"{line['step'] / epoch:g}",
                    *((text.percent(latest["accuracy"]), f"{latest['loss']:.4f}") if latest else ("", "")),
                    text.percent(line["accuracy"]),
                    f"{line['loss']:.4f}",
                )
            )
    return rows


def _round_of(run: Run, stage: int, block: int) -> int:
    """The round that a block of the final network came with; 0 for the start."""
    return next((r for r, candidate in enumerate(run.path) if candidate["depths"][stage] > block), 0)


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
    return "×".join(map(str, run.network["input_shape"])) if run.network else ""


def _classes(run: Run) -> int | None:
    return run.network and run.network["num_classes"]


def _whole_rounds(axes, first: int, last: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(first - 0.6, last + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _legend(axes, entries: int, loc: str = "lower left") -> None:
    """Above the axes, where it hides nothing."""
    anchor = (1.0 if "right" in loc else 0.0, 1.0)
    axes.legend(loc=loc, bbox_to_anchor=anchor, ncols=min(entries, 5), borderaxespad=0.1, handlelength=1.2)
