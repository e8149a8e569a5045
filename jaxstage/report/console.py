"""What a run says while it goes: one line an event, a progress bar while training, a table after each round."""

import importlib.util
import math
import time

from rich import progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxstage.errors import printable
from jaxstage.report import text
from jaxstage.workdir.confusion import Confusion
from jaxstage.workdir.findings import Findings
from jaxstage.workdir.record import Candidate, Record, Round

_WIDTH_WITHOUT_TERMINAL = 150
_SECONDS_BETWEEN_LINES = 5.0
_MOST_POINTS = 15  # of a frontier


class _Plain(Console):
    """A console on which a text is what it is: names have no markup, and nothing that a terminal obeys."""

    def __init__(self, **options):
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options) -> Text:
        return super().render_str(printable(text), **options)


class Reporter:
    """Speaks to standard output, warnings to standard error."""

    def __init__(self, quiet: bool = False):
        """Args: quiet, whether to say nothing but warnings."""
        self.console = _console(quiet=quiet)
        self._errors = _console(stderr=True)

    def say(self, line: str):
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def warn(self, line: str):
        self._errors.print(f"warning: {line}", highlight=False, markup=False, soft_wrap=True)

    def candidate(self, candidate: Candidate, epochs: int):
        origin = f"inherits from {candidate.parent}" if candidate.parent else "from scratch"
        self.say(
            f"{candidate.name}: depths {text.depths(candidate.depths)}, {candidate.parameters:,} parameters, "
            f"{_macs(candidate)} MACs, {_latency(candidate)}{origin}, {epochs} epochs"
        )

    def round(self, record: Record, round: Round):
        """The table of a closed round."""
        current, following = record[round.current], record[round.next]
        number = record.rounds.index(round) + 1
        against = f" against {round.probe}" if round.probe else ""
        table = Table(title=f"round {number}: {round.current}{against}", title_justify="left")
        shown = text.numbers_shown(round.decisions)
        compared = "rise" in shown
        headings = {
            "before": "importance before" if compared else "importance",
            "after": "after (probe)" if compared else "importance of the added blocks",
            "rise": "rise",
            "evidence": round.decisions[0].noun,
        }
        for heading in ("stage", "depth", *(headings[name] for name in shown), "grown", "why"):
            table.add_column(heading, justify="left" if heading in ("grown", "why") else "right")
        for stage, decision in enumerate(round.decisions):
            old, new = current.depths[stage], following.depths[stage]
            told = lambda name: text.measured if name in ("before", "after") else text.change
            numbers = [told(name)(*decision.number(name)) for name in shown]
            depth = f"{old} -> {new}" if new != old else str(old)
            table.add_row(str(stage + 1), depth, *numbers, text.yes_or_no(decision.grows), decision.why)
        self.console.print(table)
        after = record[round.probe] if round.probe and following.role != "chosen" else following
        probe = (
            f", {'probe ' if round.probe == after.name else ''}{after.validation['accuracy']:.2%}"
            if round.probe
            else ""
        )
        self.say(
            f"depths {text.depths(current.depths)} -> {text.depths(following.depths)}, parameters {current.parameters:,} -> "
            f"{following.parameters:,}, MACs {current.macs:,} -> {following.macs:,}; validation accuracy "
            f"{current.validation['accuracy']:.2%}{probe}; "
            f"{text.counted(record.models_trained, 'model')} trained, {text.clock(record.seconds)}"
        )

    def response(self, found: Findings):
        """What was read of an elastic network: a table of what added blocks gain, and one of its frontier by MACs."""
        response = found.response
        most = max(len(gains) for gains in response.gains)
        start = f"{response.level:.4f} at {text.depths(response.lower)}"
        title = f"what added blocks take off the loss, {start}; nats, fitted to {len(found.states)} states"
        gained = Table(title=title, title_justify="left")
        for heading in ("stage", "depth", *(f"+{block}" for block in range(1, most + 1)), "together"):
            gained.add_column(heading, justify="right")
        each = zip(response.lower, response.gains, response.gain_errors)
        for stage, (low, gains, errors) in enumerate(each, start=1):
            cells = [text.measured(*pair) for pair in zip(gains, errors)] + [""] * (most - len(gains))
            together = text.measured(sum(gains), math.hypot(*errors))
            gained.add_row(str(stage), f"{low} to {low + len(gains)}", *cells, together)
        self.console.print(gained)

        points = found.frontier["macs"]
        marked = [place for place, point in enumerate(points) if tuple(point["depths"]) == found.chosen]
        table = Table(title="frontier: no network of at most this cost has a lower fitted loss", title_justify="left")
        for heading in ("depths", text.COSTS["macs"], "fitted loss", "loss as read", "accuracy as read", "chosen"):
            table.add_column(heading, justify="right")
        for place in _thinned(len(points), marked):
            point = points[place]
            state = found.of(tuple(point["depths"]))
            table.add_row(
                text.depths(point["depths"]),
                text.cost_of(point["cost"], "macs"),
                f"{point['loss']:.4f}",
                text.measured(state.loss, state.error) if state else "",
                text.percent(point["accuracy"]),
                "yes" if place in marked else "",
            )
        self.console.print(table)

    def energy(self, used: dict[str, dict]):
        """What each part of a run used, and what that means: {part: {kwh, kgco2eq}}."""
        parts = (f"{part.replace('_', ' ')} {text.footprint(**spent)}" for part, spent in used.items())
        self.say(f"estimated energy of the devices: {', '.join(parts)}")

    def standing(self, record: Record):
        """One line on the candidate that the search stands on."""
        self.say(
            f"now at {record.current.name}: validation accuracy {record.current.validation['accuracy']:.2%}, "
            f"{text.counted(record.models_trained, 'model')} trained, {text.clock(record.seconds)}"
        )

    def evaluation(self, result: dict, counts: Confusion):
        """The outcome of task evaluate."""
        self.say(
            f"{result['source']} on {result['data']}/{result['split']}, {result['examples']:,} images: accuracy "
            f"{text.accuracy(counts)}, mean over classes {counts.balanced_accuracy:.2%}, loss {result['loss']:.4f}"
        )
        table = Table(title="accuracy by class", title_justify="left")
        table.add_column("class")
        for heading in ("right", "of", "accuracy"):
            table.add_column(heading, justify="right")
        for name, one in counts.by_class.items():
            share = f"{one['accuracy']:.2%}" if one["of"] else "no images"
            table.add_row(name, f"{one['right']:,}", f"{one['of']:,}", share)
        self.console.print(table)
        for line in counts.remarks():
            self.say(line)
        self.say(
            f"depths {text.depths(result['depths'])}, {result['parameters']:,} parameters "
            f"({result['trainable_parameters']:,} trainable); {result['macs']:,} MACs, {result['conv_dense_macs']:,} "
            "without separable convolutions"
        )
        latencies = (f"{value:.2f} ms for {batch}" for batch, value in result["latency_ms"].items())
        self.say(f"latency on {result['device']}: {', '.join(latencies)} (images a batch)")


class Progress:
    """The progress bar of one training run; without a terminal, a line every few seconds instead."""

    def __init__(self, reporter: Reporter, name: str, steps: int, start: int, steps_per_epoch: int):
        self._reporter, self._name, self._steps, self._steps_per_epoch = reporter, name, steps, steps_per_epoch
        self._last_line = time.monotonic()
        self._text, self._speed = "compiling", ""
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[text]}", markup=False),
            progress.TimeRemainingColumn(),
            console=reporter.console,
            refresh_per_second=4,
            transient=True,
            disable=not _has_live_display(reporter.console),
        )
        self._task = self._bar.add_task(name, total=steps, completed=start, text=self._text)
        self._bar.start()

    def advance(self, step: int):
        self._bar.update(self._task, completed=step, text=self._text)

    def training(self, step: int, metrics: dict):
        if "images_per_second" in metrics:
            self._speed = f"  {metrics['images_per_second']:,.0f} images/s"
        self._text = f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.1%}{self._speed}"

    def validation(self, step: int, metrics: dict):
        due = time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES or step == self._steps
        if due:
            self._last_line = time.monotonic()
            self._reporter.say(
                f"  {self._name}  epoch {step // self._steps_per_epoch}/{self._steps // self._steps_per_epoch}  "
                f"{self._text}  validation loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2%}"
            )

    def close(self):
        self._bar.stop()


def _console(**options) -> Console:
    console = _Plain(**options)
    if not console.is_terminal and not console.is_jupyter:
        console = _Plain(width=_WIDTH_WITHOUT_TERMINAL, **options)
    return console


def _has_live_display(console: Console) -> bool:
    """Whether a progress bar can move; in Jupyter it needs ipywidgets."""
    return console.is_terminal or console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None


def _thinned(number: int, kept: list[int]) -> list[int]:
    """Places of at most `_MOST_POINTS` of so many, evenly apart, the ends and what is to be kept among them."""
    free = min(number, _MOST_POINTS - len(kept))
    even = (round(place * (number - 1) / max(1, free - 1)) for place in range(free))
    return sorted({*even, *kept})


def _latency(candidate: Candidate) -> str:
    return "" if candidate.latency_ms is None else f"{candidate.latency_ms:,.15g} ms, "


def _macs(candidate: Candidate) -> str:
    """Both figures where they differ: the paper's tables leave separable convolutions out."""
    others = candidate.macs - candidate.separable_macs
    return f"{candidate.macs:,}" + (f" ({others:,} without separable convolutions)" if candidate.separable_macs else "")
