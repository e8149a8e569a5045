"""The record of a search: plain, immutable data, kept in search.json. Everything a restart needs to know.

JAX is not needed to read it: a report opens in an instant, on any machine.
"""

import dataclasses
import functools
import pathlib
import types
import typing
from dataclasses import dataclass, field, replace
from typing import Any

from jaxstage.config import typed
from jaxstage.config.key import MOST_BLOCKS
from jaxstage.errors import UserError
from jaxstage.workdir import kept
from jaxstage.workdir.findings import Findings, Fitted, Scores, State

FORMAT = 1
SOURCE = "source"  # the parent of a candidate that inherits from the config's source, a run of its own


ROLES = ("start", "probe", "grown", "elastic", "chosen", "final")


@dataclass(frozen=True)
class Candidate:
    """One depths tuple and what became of it.

    Attributes:
      name: unique; its checkpoints lie in checkpoints/<name>/.
      role: start, probe, grown or final; in an elastic search also elastic, and chosen for the state of an elastic
        network that the search goes on from, whose weights are a part of its parent's.
      parent: name of the candidate it inherits from, SOURCE, or None.
      parameters, macs: cost of the network.
      latency_ms: milliseconds that it takes for a batch, by a table of latencies; None without one.
      validation: {loss, accuracy} after its training, or None before; of an elastic network the mean over its states.
      steps: of its training, or None before; also None for what is never trained alone.
      scores: importance of its stages, or None before they are measured.
      seconds, joules: wall time and estimated energy by activity (training, importance).
      work: multiply-accumulates by activity; a training pass counts as three forward passes.
      separable_macs: those of the MACs that separable convolutions take.
      lower: of an elastic network, the depths below which nothing is switched off.
      found: what the reading of an elastic network says, or None before.
    """

    name: str
    role: str
    depths: tuple[int, ...]
    parent: str | None
    parameters: int
    macs: int
    validation: dict[str, float] | None = None
    scores: Scores | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    joules: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    separable_macs: int = 0
    steps: int | None = None
    lower: tuple[int, ...] | None = None
    found: Findings | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class StageDecision:
    """What was decided for one stage, and why.

    Attributes:
      before, before_error: score and standard error in the current candidate; under `elastic` None.
      after, after_error: likewise in the probe, under `elastic` the importance of what was added; without a probe None.
      rise, rise_error: of the score, relative to its value or absolute as the rule says; None where nothing is
        compared.
      grows: the decision.
      why: the reason, for people.
      evidence, evidence_error, noun: what the rule went by, and what that is called; older records do not have it. It
        may be one of the numbers above again.
      others: what a newer version says beside these, by name.
    """

    before: float | None
    before_error: float | None
    after: float | None
    after_error: float | None
    rise: float | None
    rise_error: float | None
    grows: bool
    why: str
    evidence: float | None = None
    evidence_error: float | None = None
    noun: str = ""
    others: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> tuple[float | None, float | None]:
        """(value, standard error) of before, after, rise or evidence."""
        return getattr(self, name), getattr(self, f"{name}_error")


@dataclass(frozen=True)
class Round:
    """One pass of the loop.

    Attributes:
      current, probe: names of the candidates that are compared; no probe under a rule that needs none.
      decisions: one a stage, or None while the round is open.
      next: name of the candidate that the search stands on afterwards, or None while the round is open.
    """

    current: str
    probe: str | None
    decisions: tuple[StageDecision, ...] | None = None
    next: str | None = None


@dataclass(frozen=True)
class Record:
    """A whole search, so far.

    Attributes:
      candidates, rounds: in the order in which they came up.
      stop_reason: why the search ended, or None while it goes on.
      test: {loss, accuracy, balanced_accuracy} of the final network on the test split, or None before; of older runs
        without the last.
      seconds: wall time, over all starts of the run; what was lost to a kill is not in it.
    """

    candidates: tuple[Candidate, ...] = ()
    rounds: tuple[Round, ...] = ()
    stop_reason: str | None = None
    test: dict[str, float] | None = None
    seconds: float = 0.0

    def __getitem__(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)

    @property
    def open_round(self) -> Round | None:
        return self.rounds[-1] if self.rounds and self.rounds[-1].next is None else None

    @property
    def decided(self) -> tuple[tuple[StageDecision, ...], ...]:
        """The decisions of each closed round, one a stage."""
        return tuple(round.decisions for round in self.rounds if round.decisions is not None)

    @property
    def path(self) -> tuple[Candidate, ...]:
        """The candidates that the search stood on: its start, and what each closed round led to; none without one."""
        if not self.candidates or self.candidates[0].role == "final":
            return ()
        return self.candidates[0], *(self[round.next] for round in self.rounds if round.next is not None)

    @property
    def current(self) -> Candidate:
        """The candidate that the search stands on."""
        if not self.rounds:
            return self.candidates[0]
        return self[self.rounds[-1].next or self.rounds[-1].current]

    @property
    def final(self) -> Candidate | None:
        return next((candidate for candidate in self.candidates if candidate.role == "final"), None)

    def trained(self, name: str) -> Candidate:
        """The candidate with the weights of the one of that name: itself, or the elastic network it is a state of."""
        candidate = self[name]
        return self[candidate.parent] if candidate.role == "chosen" and candidate.parent else candidate

    @property
    def validated(self) -> tuple[Candidate, ...]:
        """The candidates whose validation accuracy is known."""
        return tuple(candidate for candidate in self.candidates if candidate.validation is not None)

    @property
    def models(self) -> tuple[Candidate, ...]:
        """The candidates that were trained themselves."""
        if not any(candidate.lower for candidate in self.candidates):
            return self.validated  # older records do not say how many steps a training run had
        return tuple(candidate for candidate in self.candidates if candidate.steps is not None)

    @property
    def models_trained(self) -> int:
        return len(self.models)

    @property
    def last_read(self) -> Candidate | None:
        """The last elastic candidate whose states were read."""
        return next((candidate for candidate in reversed(self.candidates) if candidate.found), None)

    def adding(self, candidate: Candidate) -> "Record":
        return replace(self, candidates=(*self.candidates, candidate))

    def joules(self, final: bool) -> float:
        """Estimated energy of the final network's training, or of everything before: the search."""
        chosen = (candidate for candidate in self.candidates if (candidate.role == "final") == final)
        return sum(sum(candidate.joules.values()) for candidate in chosen)

    def updating(
        self, name: str, activity: str, seconds: float, joules: float = 0.0, work: float = 0.0, **changes
    ) -> "Record":
        """With a candidate changed, and the time, energy and MACs that an activity took added to it."""
        old = self[name]
        added = lambda spent, amount: {**spent, activity: spent.get(activity, 0.0) + amount}
        spent = dict(seconds=added(old.seconds, seconds), joules=added(old.joules, joules), work=added(old.work, work))
        return self.replacing(replace(old, **spent, **changes))

    def replacing(self, new: Candidate) -> "Record":
        """With another candidate in place of the one of the same name."""
        return replace(self, candidates=tuple(new if c.name == new.name else c for c in self.candidates))

    def closing_round(self, decisions: tuple[StageDecision, ...], next: str) -> "Record":
        closed = replace(self.rounds[-1], decisions=decisions, next=next)
        return replace(self, rounds=(*self.rounds[:-1], closed))


def plain(record: Record) -> dict[str, Any]:
    """The record as dicts and tuples, as search.json has it."""
    return dataclasses.asdict(record, dict_factory=_plain)


def save(record: Record, workdir: pathlib.Path) -> None:
    """Writes search.json and its copy; after a crash at any moment each is the old one or the new one, whole."""
    kept.write(workdir / kept.RECORD, {"format": FORMAT, **plain(record)})


def load(workdir: pathlib.Path, newer: bool = False) -> Record:
    """The record in a work directory, or an empty one if there is none yet; for arguments and errors see `find`."""
    return find(workdir, newer).value or Record()


def find(workdir: pathlib.Path, newer: bool = False) -> kept.Found:
    """The record in a work directory, if there is one, and whether it had to be read from its copy.

    Args:
      workdir: of a run.
      newer: whether to read as well what a later version of the same format wrote, to be looked at: what is unknown
        here is left out, but for the `others` of decisions. A search goes on only from what it knows.

    Raises:
      UserError: it is of another version, cannot be read, or is damaged and so is its copy.
    """
    path = workdir / kept.RECORD
    return kept.read(path, functools.partial(_parsed, path=path, newer=newer))


def _parsed(data: Any, path: pathlib.Path, newer: bool) -> Record:
    if type(data["format"]) is int and data["format"] != FORMAT:
        raise _another_version(path, f"format {data['format']}, expected {FORMAT}")
    unknown = []
    record = _built(Record, {field.name: data[field.name] for field in dataclasses.fields(Record)}, unknown)
    _require_whole(record)
    unknown += [f"role {one.role}" for one in record.candidates if one.role not in ROLES]
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r}")
    if unknown and not newer:
        raise _another_version(path, f"{unknown[0]} is not known here")
    return record


def _another_version(path: pathlib.Path, why: str) -> UserError:
    return UserError(
        f"{path} is of another version ({why}): go on with the jaxstage that wrote it, or choose another work directory"
    )


_TYPES = {
    kind: typing.get_type_hints(kind)
    for kind in (Record, Candidate, Scores, Findings, State, Fitted, Round, StageDecision)
}  # of each field of what a record is made of


def _built(kind: type, fields: dict[str, Any], unknown: list[str]) -> Any:
    """One of _TYPES of what JSON has; names of fields that it does not have are added to `unknown`."""
    known = {name: wanted for name, wanted in _TYPES[kind].items() if name != "others"}
    others = {name: value for name, value in fields.items() if name not in known}
    unknown += [f"{kind.__name__}: {name}" for name in others]
    values = {name: _value(known[name], value, unknown) for name, value in fields.items() if name in known}
    return kind(**values, others=others) if kind is StageDecision else kind(**values)


def _value(kind: Any, value: Any, unknown: list[str]) -> Any:
    """A field's value of what JSON has; one that is not of the field's type stays as it is."""
    wanted, parts = typing.get_origin(kind) or kind, typing.get_args(kind)
    if wanted is types.UnionType:  # all of them are X | None
        return None if value is None else _value(parts[0], value, unknown)
    if wanted in _TYPES and isinstance(value, dict):
        return _built(wanted, value, unknown)
    if wanted is tuple and isinstance(value, list):
        return tuple(_value(parts[0], part, unknown) for part in value)
    if wanted is dict and isinstance(value, dict) and parts:
        return {key: _value(parts[1], part, unknown) for key, part in value.items()}
    return _tuples(value)


def _tuples(value: Any) -> Any:
    """Lists of JSON as the tuples that they were."""
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _plain(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    others = found.pop("others", {})
    return found | others


_POINT = {"depths": tuple[int, ...], "cost": float, "loss": float, "accuracy": float | None}  # of a frontier


def _require_whole(record: Record) -> None:
    """Raises ValueError where parts are of another type than they should be, or do not fit together."""
    if problem := typed.problem(record, Record):
        raise ValueError(problem)
    names = {candidate.name for candidate in record.candidates}
    if any({round.current, round.probe, round.next} - {None} - names for round in record.rounds):
        raise ValueError("a round without its candidates")
    if len(names) < len(record.candidates) or any(name in ("", ".", "..") or "/" in name for name in names):
        raise ValueError("candidates of the same name, or of one that is no name of a folder")
    stages = {len(candidate.depths) for candidate in record.candidates}
    stages |= {len(decisions) for decisions in record.decided}
    found = [candidate.found for candidate in record.candidates if candidate.found]
    points = [point for one in found for line in one.frontier.values() for point in line]
    if problem := next(filter(None, (typed.problem(p[key], _POINT[key], key) for p in points for key in _POINT)), None):
        raise ValueError(f"a point of a frontier: {problem}")
    stages |= {len(part) for one in found for part in _by_stage(one)} | {len(point["depths"]) for point in points}
    if len(stages) > 1:
        raise ValueError("parts of different numbers of stages")
    sizes = [n for candidate in record.candidates for n in (*candidate.depths, *(candidate.lower or ()))]
    if not all(1 <= n <= MOST_BLOCKS for n in sizes) or 0 in stages:
        raise ValueError("a candidate with a stage of no block, or of more than any network has")
    measured = [record.test, *(candidate.validation for candidate in record.candidates)]
    if not all({"loss", "accuracy"} <= one.keys() for one in measured if one is not None):
        raise ValueError("a validation without loss or accuracy")


def _by_stage(found: Findings) -> list[tuple]:
    """All parts of findings that have one entry a stage."""
    response = found.response
    parts = [
        found.chosen,
        found.importance,
        found.importance_errors,
        response.lower,
        response.gains,
        response.gain_errors,
    ]
    return [*parts, *(state.depths for state in found.states)]
