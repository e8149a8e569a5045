"""Pictures and tables that hold one run or several, and reference networks."""

from jaxstage.config import MAY_CHANGE
from jaxstage.report import text
from jaxstage.report.html.collect import Reference, Run
from jaxstage.report.html.svg import CARD, INK, MARKERS, SERIES, Chart, draw

WORDS = {"macs": "MACs", "parameters": "parameters"}


def against(runs: list[Run], references: list[Reference], what: str, key: str) -> Chart:
    """Accuracy against `macs` or `parameters`: each search as a path, probes beside it, final networks, references."""
    rows = []
    for run in runs:
        name = (run.name,) if len(runs) > 1 else ()
        for candidate in run.rated:
            cost = f"{candidate[what]:,}"
            rows.append(
                (*name, candidate["name"], cost, text.percent(candidate["validation"]["accuracy"]), "validation")
            )
        if ended := _ended(run):
            rows.append((*name, "final network", f"{ended[what]:,}", text.percent(run.tested), "test"))
    name = ("",) if len(runs) > 1 else ()
    rows += [(*name, r.name, f"{getattr(r, what):,}", text.percent(r.accuracy), "as given") for r in references]

    def paint(axes):
        for number, run in enumerate(runs):
            colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            label = "search" if len(runs) == 1 else run.name
            points = lambda candidates: list(zip(*((c[what], c["validation"]["accuracy"]) for c in candidates)))
            path = [candidate for candidate in run.path if candidate["validation"]]
            aside = [c for c in run.rated if c not in path and c["role"] != "final"]
            left = "elastic, all on" if run.elastic else "probe, left"
            if path:
                axes.plot(*points(path), color=colour, marker=marker, markersize=3.5, linewidth=1.2, label=label)
                label = None
            if aside:
                axes.plot(
                    *points(aside),
                    linestyle="none",
                    marker=marker,
                    color=colour,
                    markersize=4.5,
                    markerfacecolor=CARD,
                    label=left if len(runs) == 1 else None,
                )
            if ended := _ended(run):
                axes.plot(
                    [ended[what]],
                    [run.tested],
                    linestyle="none",
                    marker="*",
                    markersize=11,
                    color=colour,
                    markeredgecolor=INK,
                    markeredgewidth=0.5,
                    label="final, test" if len(runs) == 1 else label,
                )
        for number, reference in enumerate(references):
            axes.plot(
                [getattr(reference, what)],
                [reference.accuracy],
                linestyle="none",
                marker="X",
                color=INK,
                markersize=5,
                label=None if number else "reference",
            )
            axes.annotate(
                reference.name,
                (getattr(reference, what), reference.accuracy),
                (5, -3),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set_xlabel(WORDS[what])
        axes.margins(x=0.2 if references else 0.12)
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(lambda cost, _: text.amount(cost))
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3 if len(runs) == 1 else 2, borderaxespad=0.1)

    given = " References: accuracy as given." if references else ""
    lines = {
        False: "the candidates that a search stood on, validation accuracy after their short training; hollow: probes",
        True: "the states that an elastic search stood on, as read, never trained alone; hollow: all blocks on",
    }
    told = "; or ".join(lines[elastic] for elastic in sorted({run.elastic for run in runs}))
    return Chart(
        key,
        f"Accuracy against {WORDS[what]}",
        f"Line: {told}; star: the final network, test accuracy.{given}",
        draw(key, 2.7, paint),
        (*(("run",) if len(runs) > 1 else ()), "network", WORDS[what], "accuracy", "on"),
        rows,
    )


def final_depths(runs: list[Run], key: str) -> Chart:
    """The depths that each run came to, stage by stage."""
    runs = [run for run in runs if run.standing]
    stages = max(len(run.standing["depths"]) for run in runs)
    width = 0.8 / len(runs)

    def paint(axes):
        for number, run in enumerate(runs):
            depths = run.standing["depths"]
            x = [stage + (number - (len(runs) - 1) / 2) * width for stage in range(1, len(depths) + 1)]
            bars = axes.bar(x, depths, width * 0.92, color=SERIES[number % len(SERIES)], label=run.name)
            if len(runs) * stages <= 18:
                axes.bar_label(bars, fontsize=8.5, padding=1)
        axes.set_xticks(range(1, stages + 1), [f"stage {stage}" for stage in range(1, stages + 1)])
        axes.set_ylabel("blocks")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1, handlelength=1.2)

    return Chart(
        key,
        "Depths side by side",
        "Blocks of each stage in the network that each run has come to.",
        draw(key, 2.5, paint),
        ("run", *(f"stage {stage}" for stage in range(1, stages + 1))),
        [(run.name, *run.standing["depths"]) for run in runs],
    )


def progress(runs: list[Run], key: str) -> Chart:
    """Validation accuracy against the time that a run had taken by then."""
    series = []
    for run in runs:
        spent, points = 0.0, []
        for candidate in run.trained:
            spent += sum(candidate["seconds"].values())
            if candidate["validation"]:
                points.append((spent, candidate["validation"]["accuracy"], candidate["name"]))
        if points:
            series.append((run.name, points))
    longest = max(points[-1][0] for _, points in series)
    unit, size = next((u for u in (("hours", 3600), ("minutes", 60)) if longest > 2 * u[1]), ("seconds", 1))

    def paint(axes):
        for number, (name, points) in enumerate(series):
            axes.plot(
                [seconds / size for seconds, *_ in points],
                [accuracy for _, accuracy, _ in points],
                color=SERIES[number % len(SERIES)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=3.5,
                label=name,
            )
        axes.set_xlabel(f"{unit} of training and measuring")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1, handlelength=1.4)

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
        standing, validation = run.standing or {}, run.validated
        rows.append(
            (
                run.name,
                run.data,
                text.depths(standing["depths"]) if standing else "",
                text.amount(standing.get("macs")),
                text.amount(standing.get("parameters")),
                text.percent(run.tested),
                text.percent(validation),
                len(run.trained) or "",
                text.clock(run.seconds) if run.seconds else "",
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


def _ended(run: Run) -> dict | None:
    """The final network, if a test accuracy of it is known."""
    return (run.final or run.network) if run.tested is not None else None
