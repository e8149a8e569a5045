"""What came out of a comparison: a row an arm, as numbers and as people read them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from jaxstage.comparison.cells import spent, work
from jaxstage.report import text
from jaxstage.report.html.collect import Run

CONFIDENCE = 0.95


class Outcome(NamedTuple):
    """What one arm came to with one seed.

    Attributes:
      seed: of everything random.
      depths, macs, parameters: of the final network.
      epochs: of its final training.
      test_accuracy, validation_accuracy: of it, 0..1.
      latency_ms: of it, for a batch; None where no run asked for it.
      search_work, final_work: multiply-accumulates of the search, 0 without one, and of the final training.
      seconds: of the whole run.
      workdir: where it lies.
      progress: (work, validation accuracy) on the way, see `progress`.
    """

    seed: int
    depths: tuple[int, ...]
    macs: int
    parameters: int
    epochs: int
    test_accuracy: float
    validation_accuracy: float
    search_work: float
    final_work: float
    seconds: float
    workdir: str
    latency_ms: float | None = None
    progress: tuple[tuple[float, float], ...] = ()

    @property
    def work(self) -> float:
        return self.search_work + self.final_work

    def work_to(self, accuracy: float) -> float | None:
        """After how much work the validation accuracy was as high for the first time; None: never."""
        return next((done for done, reached in self.progress if reached >= accuracy), None)


def outcome(run: Run) -> Outcome:
    """What a finished run came to."""
    final, config = run.record.final, run.config
    return Outcome(
        seed=config["seed"],
        depths=final.depths,
        macs=final.macs,
        parameters=final.parameters,
        epochs=config["final.epochs"],
        test_accuracy=run.record.test["accuracy"],
        validation_accuracy=final.validation["accuracy"],
        search_work=spent(run, final=False),
        final_work=spent(run, final=True),
        seconds=run.record.seconds,
        workdir=run.workdir,
        latency_ms=final.latency_ms,
        progress=progress(run),
    )


def progress(run: Run) -> tuple[tuple[float, float], ...]:
    """Validation accuracies on the way of a run, each with the multiply-accumulates spent until then.

    There is one for each validation of a training run (of an elastic network the mean over its states), and one for
    each state that a reading chose.
    """
    points, done = [], 0.0
    for candidate in run.record.candidates:
        took = work(candidate, run.config["batch_size"])
        for line in run.curves.get(candidate.name, {}).get("validation", []):
            points.append((done + took["training"] * line["step"] / candidate.steps, line["accuracy"]))
        done += sum(took.values())
        if candidate.role == "chosen":
            points.append((done, candidate.validation["accuracy"]))
    return tuple(points)


def interval(values: Sequence[float]) -> dict:
    """Mean of independent values with its 95 % interval of Student's t; one value has none.

    Example:
      interval([0.5, 0.6])  # {'mean': 0.55, 'low': -0.085, 'high': 1.185, 'n': 2}, rounded
    """
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "low": None, "high": None, "n": n}
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * scipy.stats.sem(values))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def row(arm: str, outcomes: list[Outcome], first: list[Outcome]) -> dict:
    """What an arm came to, as plain data.

    Args:
      arm: its name.
      outcomes: of each seed.
      first: those of the arm that it is compared with, seed by seed.
    """
    of = lambda field, side=outcomes: [getattr(one, field) for one in side]
    pairs = list(zip(first, outcomes))
    differences = [a.test_accuracy - b.test_accuracy for a, b in pairs]
    reached = [a.work_to(b.validation_accuracy) for a, b in pairs]
    return {
        "arm": arm,
        "test_accuracy": interval(of("test_accuracy")),
        "first_minus_this": None if outcomes is first else interval(differences),
        "validation_accuracy": interval(of("validation_accuracy")),
        "macs": interval(of("macs")),
        "parameters": interval(of("parameters")),
        "latency_ms": None if None in of("latency_ms") else interval(of("latency_ms")),
        "work_to_first": interval([b.work / a.work for a, b in pairs]),
        "reached_at": None if None in reached else interval([done / b.work for done, b in zip(reached, outcomes)]),
        "search_to_final_work": interval([one.search_work / one.final_work for one in outcomes]),
        "seeds": [{key: value for key, value in one._asdict().items() if key != "progress"} for one in outcomes],
    }


def readable(rows: list[dict]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(head, rows) for people; accuracies in %."""
    first = rows[0]["arm"]
    timed = all(row["latency_ms"] for row in rows)
    head = (
        "arm",
        "depths, by seed",
        "MACs",
        "parameters",
        *["latency, ms"] * timed,
        f"work / {first}'s",
        "search / final work",
        "test accuracy, %",
        f"{first} minus this",
        f"{first} there at",
    )
    lines = [
        (
            row["arm"],
            "\n".join(text.depths(one["depths"]) for one in row["seeds"]),
            text.amount(row["macs"]["mean"]),
            text.amount(row["parameters"]["mean"]),
            *([f"{row['latency_ms']['mean']:.3g}"] if timed else []),
            f"{row['work_to_first']['mean']:.3g}",
            f"{row['search_to_final_work']['mean']:.3g}",
            text.interval(row["test_accuracy"]),
            text.interval(row["first_minus_this"], sign="+") if row["first_minus_this"] else "",
            _reached(row),
        )
        for row in rows
    ]
    return head, lines


def verdict(rows: list[dict]) -> str:
    """What comes out, in a sentence or two.

    Example:
      verdict(rows)
      # 'elastic is right for 91.20% of the test images, as the mean of 3 seeds. At about equal work that is better than
      # last by 1.3 points [0.2, 2.4]; not shown to differ from uniform, random.'
    """
    first, *others = rows
    known, share = first["test_accuracy"], text.percent(first["test_accuracy"]["mean"])
    if known["n"] == 1:
        beside = ", ".join(f"{_told(row)} {text.percent(row['test_accuracy']['mean'])}" for row in others)
        return f"{first['arm']} is right for {share} of the test images; at about equal work: {beside}. One seed may be luck."
    parts = [
        f"{word} {', '.join(told)}"
        for word, told in (
            ("better than", [_by(row, 1) for row in others if row["first_minus_this"]["low"] > 0]),
            ("worse than", [_by(row, -1) for row in others if row["first_minus_this"]["high"] < 0]),
            ("not shown to differ from", [_told(row) for row in others if _may_be_equal(row["first_minus_this"])]),
        )
        if told
    ]
    return (
        f"{first['arm']} is right for {share} of the test images, as the mean of {known['n']} seeds. At about equal work "
        f"that is {'; '.join(parts)}."
    )


def notes(rows: list[dict], jpeg: bool) -> list[str]:
    """What has to be known to read the table; jpeg: whether the images of CIFAR are kept with the loss of JPEG."""
    first, n = rows[0]["arm"], rows[0]["test_accuracy"]["n"]
    if n > 1:
        spread = (
            f"[low, high]: 95 % intervals of Student's t over {n} seeds, for each row alone; differences are taken "
            f"seed by seed: where the interval has 0 in it, {first} is not shown to differ"
        )
    else:
        spread = "one seed: there are no intervals, and a difference may be luck; --seeds=3 gives them"
    return [
        spread,
        "work: multiply-accumulates of all training and measuring; training passes an image as three forward passes",
        f"{first} there at: the share of a row's work that {first} had spent when its validation accuracy was that row's "
        "for the first time",
        *(["the images are stored as JPEG, with its loss: figures of the original set differ"] if jpeg else []),
    ]


def _told(row: dict) -> str:
    """An arm's name among others."""
    return row["arm"].replace(",", "")


def _may_be_equal(difference: dict) -> bool:
    return difference["low"] <= 0 <= difference["high"]


def _by(row: dict, sign: int) -> str:
    """An arm and by how many points the first one is above it, or with the other sign below it."""
    of = row["first_minus_this"]
    ends = sorted(100 * sign * of[end] for end in ("low", "high"))
    return f"{_told(row)} by {100 * sign * of['mean']:.1f} points [{ends[0]:.1f}, {ends[1]:.1f}]"


def _reached(row: dict) -> str:
    if row["first_minus_this"] is None:
        return ""
    return f"{row['reached_at']['mean']:.2g}" if row["reached_at"] else "never"
