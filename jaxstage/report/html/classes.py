"""How good the network is class by class on the test: a table, the confusion matrix, and misclassified pictures."""

from typing import NamedTuple

from jaxstage.report import text
from jaxstage.report.html.collect import Run
from jaxstage.report.html.svg import SERIES, Chart, draw
from jaxstage.workdir.confusion import Confusion, interval

MOST_DRAWN, MOST_NUMBERED = 40, 12  # classes up to which the matrix is drawn, and has numbers in it
LONGEST = 14  # letters of a class beside the matrix


class Shown(NamedTuple):
    """A misclassified picture as the template takes it: its address, and what it is and was taken for."""

    source: str
    label: str
    named: str
    probability: str


def table(counts: Confusion) -> tuple[tuple, list[tuple]]:
    """(head, rows), the worst class first; classes without images last."""
    each = sorted(counts.by_class.items(), key=lambda one: 2.0 if one[1]["accuracy"] is None else one[1]["accuracy"])
    rows = []
    for name, one in each:
        ends = " to ".join(map(text.percent, interval(one["right"], one["of"]))) if one["of"] else ""
        share = text.percent(one["accuracy"]) or "no images"
        rows.append((name, f"{one['right']:,}", f"{one['of']:,}", share, ends))
    return ("class", "right", "of", "accuracy", "95% interval"), rows


def matrix(run: Run, key: str) -> Chart:
    """The confusion matrix: what the images of each class were taken for."""
    assert run.tested
    counts = run.tested.counts
    names, classes = counts.class_names, len(counts.class_names)
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]

    def paint(axes):
        for true, row in enumerate(counts.rows):
            for named, count in enumerate(row):
                if count:  # strong enough to be seen, faint enough to read the number on it
                    look = dict(
                        facecolors=SERIES[0] if true == named else SERIES[1], alpha=0.08 + 0.42 * count / sum(row)
                    )
                    axes.broken_barh([(named - 0.48, 0.96)], (true - 0.48, 0.96), linewidth=0, **look)
                    if classes <= MOST_NUMBERED:
                        axes.text(named, true, f"{count}", ha="center", va="center", fontsize=8.5)
        axes.set_xticks(range(classes), short, rotation=90)
        axes.set_yticks(range(classes), short)
        axes.set_xlim(-0.5, classes - 0.5)
        axes.set_ylim(classes - 0.5, -0.5)
        axes.grid(visible=False)
        axes.set_xlabel("named")
        axes.set_ylabel("true class")

    pairs = counts.mistakes(classes * classes)
    return Chart(
        key,
        "What each class was taken for",
        "A row for each true class, a column for each class that was named; the stronger, the larger the share of the row. "
        "Blue: right; orange: mistakes.",
        draw(key, 1.2 + min(0.36, 7 / classes) * classes, paint),
        ("true class", "named", "images", "of"),
        [(true, named, f"{count:,}", f"{counts.by_class[true]['of']:,}") for true, named, count in pairs[:1000]],
        names=True,
    )


def pictures(run: Run) -> list[Shown]:
    """The misclassified pictures, unless the config wants none."""
    if run.tested is None or not run.config.get("report.pictures", True):
        return []
    return [
        Shown(f"data:image/png;base64,{one.png}", one.label, one.named, text.percent(one.probability))
        for one in run.tested.pictures
    ]
