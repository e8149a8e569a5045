"""The record of a search: plain, immutable data, kept in search.json. Everything a restart needs to know."""

import dataclasses
import json
import pathlib
from dataclasses import dataclass, field, replace
from typing import Any

from jaxstage.depth_search.choice import Findings, Fitted, State
from jaxstage.depth_search.limits import CostOf
from jaxstage.errors import UserError
from jaxstage.files import write_json
from jaxstage.importance.interface import Scores
from jaxstage.workdir.claim import RECORD

FORMAT = 1
SOURCE = "source"  # the parent of a candidate that inherits from the config's source, a run of its own


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
    validation: dict | None = None
    scores: Scores | None = None
    seconds: dict = field(default_factory=dict)
    joules: dict = field(default_factory=dict)
    work: dict = field(default_factory=dict)
    separable_macs: int = 0
    steps: int | None = None
    lower: tuple[int, ...] | None = None
    found: Findings | None = None
    latency_ms: float | None = None


def new_candidate(
    name: str, role: str, depths: tuple[int, ...], parent: str | None, config, cost_of: CostOf
) -> Candidate:
    """A candidate before anything was done with it."""
    cost = cost_of(depths)
    if config.inherit.method == "scratch" and parent != SOURCE:
        parent = None
    return Candidate(
        name,
        role,
        tuple(depths),
        parent,
        cost.parameters,
        cost.macs,
        separable_macs=cost.separable_macs,
        latency_ms=cost.latency_ms,
    )


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
      evidence, evidence_error, noun: what the rule went by, and what that is called; older records do not have it.
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
      test: {loss, accuracy} of the final network on the test split, or None before.
      seconds: wall time, over all starts of the run; what was lost to a kill is not in it.
    """

    candidates: tuple[Candidate, ...] = ()
    rounds: tuple[Round, ...] = ()
    stop_reason: str | None = None
    test: dict | None = None
    seconds: float = 0.0

    def __getitem__(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)

    @property
    def open_round(self) -> Round | None:
        return self.rounds[-1] if self.rounds and self.rounds[-1].next is None else None

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
    def models_trained(self) -> int:
        elastic = any(
            candidate.lower for candidate in self.candidates
        )  # then states are validated that were not trained
        done = lambda candidate: candidate.steps if elastic else candidate.validation
        return sum(done(candidate) is not None for candidate in self.candidates)

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


def save(record: Record, workdir: pathlib.Path) -> None:
    """Writes search.json; after a crash at any moment the file is the old one or the new one, whole."""
    write_json(workdir / RECORD, {"format": FORMAT, **dataclasses.asdict(record)})


def load(workdir: pathlib.Path) -> Record:
    """The record in a work directory, or an empty one if there is none yet.

    Raises:
      UserError: the file is not a record of this version.
    """
    path = workdir / RECORD
    if not path.exists():
        return Record()
    try:
        data = json.loads(path.read_text())
        if data.pop("format") != FORMAT:
            raise ValueError("another format")
        return Record(
            candidates=tuple(_candidate(**fields) for fields in data["candidates"]),
            rounds=tuple(_round(**fields) for fields in data["rounds"]),
            stop_reason=data["stop_reason"],
            test=data["test"],
            seconds=data["seconds"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged or of another version ({error}): choose another --workdir") from error


def _candidate(depths, scores, lower=None, found=None, **fields) -> Candidate:
    scores = scores and Scores(tuple(map(tuple, scores["samples"])))
    return Candidate(
        depths=tuple(depths), scores=scores, lower=lower and tuple(lower), found=found and _findings(**found), **fields
    )


def _findings(states, response, **fields) -> Findings:
    states = tuple(State(**_tuples(state)) for state in states)
    return Findings(states, Fitted(**_tuples(response)), **_tuples(fields))


def _tuples(value) -> Any:
    """Lists of JSON as the tuples that they were."""
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _round(decisions, **fields) -> Round:
    return Round(decisions=decisions and tuple(StageDecision(**decision) for decision in decisions), **fields)
