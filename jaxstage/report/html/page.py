"""The page itself: what has been collected and drawn, put into page.html.j2, as one file that needs no network."""

import base64
import hashlib
import os
import pathlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxstage.config import default, flatten, plain
from jaxstage.errors import first_line
from jaxstage.files import local, write_text
from jaxstage.report import text
from jaxstage.report.html import classes, compare, decisions, network, response, training, verdict
from jaxstage.report.html.collect import Reference, Run, collect, read_references

FILE = "report.html"


class Front(NamedTuple):
    """A table that is about all runs together.

    Attributes:
      caption, head, rows: of the table.
      notes: what has to be known to read it.
      verdict: what comes out, in front of it.
      pages: {name of a run: where its own page lies, from this one on}.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    verdict: str = ""
    pages: Mapping[str, str] = {}


def write(workdirs: list[str], out: str | os.PathLike, references: Sequence[str] = ()) -> pathlib.Path:
    """Draws the page of one or several work directories.

    Args:
      workdirs: of runs, finished or not, or of imported networks.
      out: the file to write; it is replaced as a whole.
      references: networks to compare with, see `collect.read_references`.

    Returns:
      The file's path.

    Raises:
      UserError: a directory or a reference cannot be read, or the file cannot be written.
    """
    return save(render(collect(workdirs), read_references(references)), out)


def save(page: str, out: str | os.PathLike) -> pathlib.Path:
    """Writes a page, replacing the file as a whole; returns its path.

    Raises:
      UserError: the file cannot be written.
    """
    target = local(out, "--out")
    write_text(target, page)
    return target


def refresh(workdir: pathlib.Path, warn: Callable[[str], None]) -> None:
    """Draws a run's own page anew; a failure is reported in one line and ends nothing."""
    try:
        write([str(workdir)], workdir / FILE)
    except Exception as error:
        reason = first_line(error)
        warn(f"{workdir / FILE} is not drawn ({reason}); later: python -m jaxstage.report {shlex.quote(str(workdir))}")


def render(runs: list[Run], references: Sequence[Reference] = (), front: Front | None = None) -> str:
    """The page as HTML, with a table in front of everything if one is given."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxstage.report.html", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    sections = [_section(run, references, f"run{number}") for number, run in enumerate(runs)]
    together = _together(runs, references) if len(runs) > 1 else None
    script = environment.get_template("page.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()  # the only script that may run
    parts = {"sections": sections, "together": together, "front": front, "script": script, "digest": digest}
    return environment.get_template("page.html.j2").render(parts)


def _together(runs: list[Run], references: Sequence[Reference]) -> dict:
    shared = []
    if any(run.record.validated or run.network for run in runs) or references:
        shared += [compare.against(runs, references, what, f"all-{what}") for what in compare.COSTS]
    if any(run.standing for run in runs):
        shared.append(compare.final_depths(runs, "all-depths"))
    if any(candidate.validation for run in runs for candidate in run.record.models):
        shared.append(compare.progress(runs, "all-progress"))
    return {"table": compare.table(runs), "charts": shared, "differences": compare.config_differences(runs)}


def _section(run: Run, references: Sequence[Reference], key: str) -> dict[str, Any]:
    """Everything that the template needs of one run."""
    record = run.record
    changed, same = _config(run)
    return {
        "run": run,
        "key": key,
        "verdict": verdict.verdict(run),
        "status": _status(run),
        "facts": verdict.figures(run),
        "classes": _classes(run, key) if run.tested else None,
        "network": _drawn(
            run, key, ("network", network.network, run.standing), ("growth", network.growth, len(record.path) > 1)
        ),
        "importance": _drawn(
            run,
            key,
            ("importance", decisions.importance, record.decided),
            ("rise", decisions.rise, decisions.compares(run)),
        ),
        "decisions": decisions.table(run),
        "training": _drawn(
            run, key, ("curves", training.curves, run.curves), ("lineage", training.lineage, len(record.candidates) > 1)
        ),
        "candidates": _candidates(run),
        "front": _front(run, references, key),
        "networks": response.networks(run),
        "cost": _drawn(run, key, ("time", training.time_line, record.candidates and record.seconds)),
        "made": _made(run),
        "changed": changed,
        "same": same,
        "commands": _commands(run),
        "skipped": [(image["image"], image["split"], image["why"]) for image in run.skipped],
    }


def _front(run: Run, references: Sequence[Reference], key: str) -> list:
    """The charts of what accuracy costs: the frontiers and the response where an elastic network was read, and the way."""
    charts = [response.frontier(run, f"{key}-frontier-{cost}", cost) for cost in response.costs(run)]
    charts += _drawn(run, key, ("response", response.by_stage, run.record.last_read))
    if len(run.record.validated) > 1 or references:
        charts += [compare.against([run], references, what, f"{key}-{what}") for what in compare.COSTS]
    return charts


def _drawn(run: Run, key: str, *wanted) -> list:
    """The charts whose data are there."""
    return [chart(run, f"{key}-{name}") for name, chart, there in wanted if there]


def _status(run: Run) -> str:
    if run.imported:
        return "A network on its own: it was imported, so there is no search to show, only what it is and costs."
    if run.finished:
        return f"Finished. {_ended(run.record.stop_reason)}" if run.record.path else "Finished."
    standing = f" So far it has come to {run.standing.name}." if run.standing and run.record.models else ""
    reason = f" {_ended(run.record.stop_reason)}" if run.record.path and run.record.stop_reason else ""
    trained = text.counted(run.record.models_trained, "model")
    return f"Not finished: {trained} trained.{standing}{reason} The run's command goes on from here."


def _ended(reason: str | None) -> str:
    return f"The search ended: {reason}." if reason else ""


def _classes(run: Run, key: str) -> dict[str, Any]:
    """What the test says of each class."""
    counts = run.tested.counts
    few = len(counts.class_names) <= classes.MOST_DRAWN
    return {
        "table": classes.table(counts),
        "remarks": counts.remarks(),
        "charts": [classes.matrix(run, f"{key}-confusion")] if few else [],
        "pictures": classes.pictures(run),
    }


def _candidates(run: Run) -> tuple[tuple, list[tuple]]:
    """(head, rows): every candidate with what it is, where it comes from and what it took."""
    candidates = run.record.candidates
    activities = tuple(dict.fromkeys(activity for candidate in candidates for activity in candidate.seconds))
    head = (
        "candidate",
        "role",
        "depths",
        "inherits from",
        "parameters",
        "MACs",
        "validation accuracy",
        "loss",
        *(f"{activity}, s" for activity in activities),
    )
    rows = []
    for c in candidates:
        validation = c.validation or {}
        state = run.elastic and c.role in ("start", "chosen")
        unknown = "not read" if state or c in run.record.models else "not trained yet"
        rows.append(
            (
                c.name,
                c.role,
                text.span(c.lower, c.depths),
                c.parent or "nothing",
                text.amount(c.parameters),
                text.amount(c.macs),
                text.percent(validation.get("accuracy")),
                f"{validation['loss']:.4f}" if validation else unknown,
                *(f"{c.seconds[a]:,.1f}" if a in c.seconds else "" for a in activities),
            )
        )
    return head, rows


def _made(run: Run) -> list[tuple[str, str]]:
    """Machine, versions, seed, models, time and energy."""
    record, versions = run.record, (run.network or {}).get("versions")
    rows = [
        ("trained on", run.tested.machine if run.tested else ""),
        *((versions if isinstance(versions, dict) else {}).items()),
        ("seed", str(run.config.get("seed", ""))),
    ]
    rows = [(name, str(value)) for name, value in rows if value]
    if not record.candidates:
        return rows
    rate = run.config.get("energy.kg_per_kwh", default().energy.kg_per_kwh)
    searched = sum(candidate.role != "final" for candidate in record.models)
    rows.append(("models trained", str(record.models_trained)))
    if searched:
        rows.append(("of them in the search", str(searched)))
    if states := sum(len(candidate.found.states) for candidate in record.candidates if candidate.found):
        rows.append(("states of elastic networks read", str(states)))
    rows.append(("wall time", text.clock(record.seconds)))
    for part, joules in (("search", record.joules(final=False)), ("final training", record.joules(final=True))):
        if joules:
            rows.append((f"estimated energy, {part}", text.energy(joules, rate)))
    return rows


def _config(run: Run) -> tuple[list[tuple], list[tuple]]:
    """(what differs from the defaults: key, value, default; the rest: key, value)."""
    stock = flatten(plain(default()))
    changed = [
        (key, text.value(value), text.value(stock[key]) if key in stock else "there is no such key now")
        for key, value in run.config.items()
        if key not in stock or stock[key] != value
    ]
    same = [(key, text.value(value)) for key, value in run.config.items() if key in stock and stock[key] == value]
    return changed, same


def _commands(run: Run) -> list[tuple[str, str]]:
    """(what for, command)."""
    if run.network is None:
        return []
    place = shlex.quote(run.workdir)
    load = (
        f"import jaxstage\n\nnetwork = jaxstage.load({run.workdir!r})\nprint(jaxstage.predict(network, images)[0].label)\n\n"
        'module, variables, metadata = network\nx = (images / 255 - metadata["mean"]) / metadata["std"]\n'
        "logits = module.apply(variables, x, train=False)"
    )
    return [
        ("Load it in Python; images are uint8, " + "×".join(map(str, run.network["input_shape"])), load),
        ("Classify pictures with it", f"jaxstage predict {place} FILE..."),
        ("Evaluate it", f"jaxstage evaluate {place}"),
        ("Take it to other data", f"jaxstage transfer {place} --config.data.name=NAME"),
        ("Grow it on other data", f"jaxstage search --config=transfer --config.source={place} --config.data.name=NAME"),
        ("Export it: StableHLO, safetensors, PyTorch, ONNX", f"jaxstage export {place} --format=stablehlo"),
        *([] if run.compared or run.config.get("source") or not run.record.path else [_COMPARE]),
        ("Draw this page again, or beside other runs", f"jaxstage report {place}"),
    ]


_COMPARE = (
    "Compare the search with fixed rules at equal cost, by the config file of this run",
    "jaxstage compare --config=FILE",
)
