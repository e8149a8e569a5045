"""What a page says first: what was chosen and what it costs, how sure that is, and the figures.

Of the networks of family resnet from depths (1, 1) to (3, 3), the search on digits chose (2, 3): it has 15.9 k
parameters and takes 357 k multiply-accumulates (MACs) an image, 83% of the MACs of (3, 3). It is right for 97.78% of
360 test images (95% interval 95.68% to 98.87%); its least certain block, the last of stage 2, takes 0.116 ± 0.020 off
the validation loss (± one standard error), and the best one left out, in stage 1, would take 0.012 ± 0.015.
"""

from typing import NamedTuple

from jaxstage.depths import Depths
from jaxstage.report import text
from jaxstage.report.html.collect import Run
from jaxstage.workdir.confusion import Confusion
from jaxstage.workdir.findings import Fitted
from jaxstage.workdir.record import SOURCE, Candidate

APART = 0.005  # how far the mean over classes is from the accuracy for it to be told


class Block(NamedTuple):
    """An added block, and what it takes off the loss, with the standard error."""

    stage: int
    gain: float
    error: float

    @property
    def told(self) -> str:
        return text.measured(self.gain, self.error)


def verdict(run: Run) -> list[str]:
    """Two sentences; none of a run that has not come to a network yet."""
    if run.standing is None:
        return []
    return [f"{_chosen(run, run.standing)}: {_costs(run, run.standing)}.", f"{_sure(run, run.standing)}."]


def figures(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what stands below."""
    standing = run.standing
    if standing is None:
        return []
    counts = run.tested and run.tested.counts
    found = [
        ("depths", text.depths(standing.depths)),
        ("test accuracy", text.percent(run.test_accuracy)),
        ("its 95% interval", " to ".join(map(text.percent, counts.interval)) if counts else ""),
        ("test accuracy, mean over classes", text.percent(counts.balanced_accuracy) if counts else ""),
        ("test images", f"{counts.examples:,}" if counts else ""),
        ("validation accuracy", text.percent(run.validation_accuracy)),
        ("parameters", text.cost_of(standing.parameters, "parameters")),
        ("MACs an image", text.cost_of(standing.macs, "macs")),
        ("of them separable", text.cost_of(standing.separable_macs or None, "macs")),
        ("latency of a batch", text.cost_of(standing.latency_ms, "latency_ms")),
        ("data", run.data),
        ("source", run.config.get("source") or ""),
    ]
    return [(name, value) for name, value in found if value]


def _chosen(run: Run, standing: Candidate) -> str:
    """What the network is, and where it comes from."""
    family = (run.network or {}).get("family") or run.config.get("model.family", "unknown")
    kind, depths, origin = f"family {family}", text.depths(standing.depths), _origin(run)
    if run.imported:
        return f"A network of {kind} and depths {depths}, which was imported"
    if not run.record.path:
        way = "was trained" if run.finished else "is being trained"
        return f"A network of {kind}, its depths {depths} given, {way} on {run.data}{origin}"
    if not run.finished:
        return f"So far the search on {run.data} stands at a network of {kind} and depths {depths}{origin}"
    return _found(run, standing, kind, origin) + _budget(run)


def _found(run: Run, standing: Candidate, kind: str, origin: str) -> str:
    """Among which networks a finished search found its own."""
    path, read, depths = run.record.path, run.record.last_read, text.depths(standing.depths)
    if read and read.lower:
        ends = {read.depths: ", the deepest of them", read.lower: ", the shallowest of them"}
        those = f"Of the networks of {kind} from depths {text.span(read.lower, read.depths)}{origin},"
        return f"{those} the search on {run.data} chose {depths}{ends.get(standing.depths, '')}"
    begun, rounds = text.depths(path[0].depths), text.counted(len(path) - 1, "round")
    if standing.depths == path[0].depths:
        return f"The search on {run.data} grew no stage in {rounds}, so a network of {kind} stays at {depths}{origin}"
    return f"The search on {run.data} grew a network of {kind} from depths {begun} to {depths} in {rounds}{origin}"


def _budget(run: Run) -> str:
    limits = {cost: run.config.get(f"growth.max_{cost}") for cost in text.COSTS}
    words = {**text.COSTS, "latency_ms": "ms a batch"}
    told = " and ".join(f"{limit:,} {words[cost]}" for cost, limit in limits.items() if limit)
    return f", within {told}" if told else ""


def _origin(run: Run) -> str:
    """Where the first weights came from, if not from chance."""
    if not (source := run.config.get("source")):
        return ""
    inherits = any(candidate.parent == SOURCE for candidate in run.record.candidates)
    return (
        f", starting from the weights of {source}" if inherits else f", built as {source} and trained from new weights"
    )


def _costs(run: Run, standing: Candidate) -> str:
    """In three currencies, and beside what there was to choose from."""
    latency = f" and {text.cost_of(standing.latency_ms, 'latency_ms')} a batch" if standing.latency_ms else ""
    costs = (
        f"it has {text.amount(standing.parameters)} parameters and takes {text.amount(standing.macs)} "
        f"multiply-accumulates (MACs) an image{latency}"
    )
    read, path = run.record.last_read, run.record.path
    beside = read if read and read.lower else path[0] if path else None
    if beside is None or beside.depths == standing.depths:
        return costs
    return f"{costs}, {standing.macs / beside.macs:.0%} of the MACs of {text.depths(beside.depths)}"


def _sure(run: Run, standing: Candidate) -> str:
    """How good it is on the test, and how far the choice stands above its neighbours."""
    parts = [_tested(run)]
    read = run.record.last_read
    if read and read.found and run.record.path and (stands := _neighbours(read.found.response, standing.depths)):
        parts.append(stands)
    return "; ".join(parts)


def _tested(run: Run) -> str:
    if run.tested and run.finished:
        return _of_the_test(run.tested.counts)
    if run.test_accuracy is not None:
        given = "as its files say; how many these are is not known here, so there is no interval"
        return f"It is right for {text.percent(run.test_accuracy)} of the test images, {given}"
    if run.imported:
        return "How good it is was not tested here: jaxstage evaluate does"
    if run.validation_accuracy is None:
        return "How good it is is not known yet"
    state = ", as a part of the elastic network that was never trained alone" if run.elastic else ""
    told = f"So far it is right for {text.percent(run.validation_accuracy)} of the validation images{state}"
    return f"{told}; the test comes at the end, after the final training"


def _of_the_test(counts: Confusion) -> str:
    balanced = counts.balanced_accuracy
    apart = f", mean over classes {balanced:.2%}" if abs(balanced - counts.accuracy) >= APART else ""
    low, high = counts.interval
    told = (
        f"It is right for {counts.accuracy:.2%} of {counts.examples:,} test images (95% interval {low:.2%} to "
        f"{high:.2%}{apart})"
    )
    if counts.no_better:
        told += ", which is not clearly better than to name always the most frequent class"
    if missed := len(counts.never_named) + len(counts.never_right):
        told += f", and never for {text.counted(missed, 'class', 'classes')} of {len(counts.class_names)}"
    return told


def _neighbours(response: Fitted, depths: Depths) -> str:
    """The block that was nearest to being left out, and the one that was nearest to coming in."""
    stages = zip(response.lower, response.gains, response.gain_errors, depths)
    kept, left = [], []
    for stage, (low, gains, errors, depth) in enumerate(stages, start=1):
        blocks = [Block(stage, *pair) for pair in zip(gains, errors)]
        added = max(0, depth - low)
        kept += blocks[:added][-1:]
        left += blocks[added : added + 1]
    least = min(kept, key=lambda block: block.gain / block.error if block.error else block.gain, default=None)
    best = max(left, key=lambda block: block.gain, default=None)
    off = "off the validation loss (± one standard error)"
    if least and best:
        return (
            f"its least certain block, the last of stage {least.stage}, takes {least.told} {off}, and the best one left "
            f"out, in stage {best.stage}, would take {best.told}"
        )
    if least:
        return f"its least certain block, the last of stage {least.stage}, takes {least.told} {off}, and deeper was not looked at"
    if best:
        return (
            f"no block beyond {text.depths(response.lower)} was chosen, the best of which, in stage {best.stage}, would "
            f"take {best.told} {off}"
        )
    return ""
