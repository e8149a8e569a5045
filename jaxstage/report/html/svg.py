"""Drawing with matplotlib for a page that is light or dark: colours become CSS variables, texts stay texts.

The same data give the same bytes: no dates, no random identifiers.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

WIDTH = 4.5  # inches; 324 points, so that letters keep their size on a phone 390 points wide

# Stand-ins, which `_colours` replaces: matplotlib knows no CSS. Text and lines that must be seen, then quieter ones.
INK, MUTED, GRID, CARD = "#010001", "#010002", "#010003", "#010004"
SERIES = tuple(f"#1000{number:02x}" for number in range(6))
RAMP = tuple(f"#2000{number:02x}" for number in range(7))  # the first one is for what was there from the start
MARKERS = "osD^vP"  # with the colours, for those who tell them apart badly

_NAMES = {INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--grid)", CARD: "var(--card)"}
_NAMES |= {colour: f"var(--series-{number})" for number, colour in enumerate(SERIES)}
_NAMES |= {colour: f"var(--ramp-{number})" for number, colour in enumerate(RAMP)}

_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlelocation": "left",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.7,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "errorbar.capsize": 1.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
}


class Chart(NamedTuple):
    """A figure of a page.

    Attributes:
      key: unique on the page; for identifiers.
      title, description: for people; the description also for those who do not see the picture.
      svg: the picture, to be put into HTML as it is.
      head, rows: the same numbers as a table.
      names: whether it has names of somebody's choice, which may be long.
    """

    key: str
    title: str
    description: str
    svg: str
    head: tuple[str, ...]
    rows: list[tuple]
    names: bool = False


def draw(key: str, height: float, paint: Callable, panels: int = 1) -> str:
    """The SVG of a figure.

    Args:
      key: unique on the page.
      height: in inches.
      paint: draws, `paint(*axes)`.
      panels: how many axes there are, below each other; they share the horizontal one.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": key}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the measuring font lacks; the browser has them
        figure = Figure((WIDTH, height), layout="constrained")
        paint(*figure.subplots(panels, sharex=True, squeeze=False)[:, 0])
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _inline(file.getvalue())


def _inline(text: str) -> str:
    """matplotlib's file as a part of a page."""
    text = text[text.index("<svg") :]
    for unwanted in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->"):
        text = re.sub(unwanted, "", text, flags=re.DOTALL)
    text = re.sub(r"^<svg .*?viewBox=(\"[^\"]*\").*?>", r'<svg viewBox=\1 aria-hidden="true">', text, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"#(?:01|10|20)00[0-9a-f]{2}", lambda match: _NAMES.get(match[0], match[0]), text)
    return re.sub(r"\s+", " ", text).replace("> <", "><")
