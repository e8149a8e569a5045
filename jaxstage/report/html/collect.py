"""What work directories say, as plain data for a page. Nothing is drawn here, and JAX is not needed.

The files are read as JSON, not as the classes that wrote them: the page of an older or a newer run is still drawn.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxstage.config import flatten
from jaxstage.config.moved import renewed
from jaxstage.errors import UserError
from jaxstage.files import local
from jaxstage.report import text

RECORD_FORMAT = 1


class Run(NamedTuple):
    """One work directory.

    Attributes:
      name: of the directory; unique on a page.
      workdir: as it was given.
      config: flat, {"model.depths": [2, 2, 2], ...}; empty for an imported network.
      candidates, rounds: as in search.json, in the order in which they came up.
      stop_reason: why the search ended, or None.
      test: {loss, accuracy} of the final network, or None.
      seconds: wall time of the run.
      curves: {candidate: {"train" or "validation": [{step, loss, accuracy, ...}, ...]}}.
      network: final/architecture.json, or None before the end.
      skipped: images that could not be read: {split, image, why}.
      notes: what of the directory is missing or damaged, for people.
    """

    name: str
    workdir: str
    config: dict[str, Any]
    candidates: tuple[dict, ...] = ()
    rounds: tuple[dict, ...] = ()
    stop_reason: str | None = None
    test: dict | None = None
    seconds: float = 0.0
    curves: dict[str, dict[str, list[dict]]] = {}
    network: dict | None = None
    skipped: tuple[dict, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> dict:
        """The candidate of that name."""
        return next(candidate for candidate in self.candidates if candidate["name"] == name)

    @property
    def closed_rounds(self) -> tuple[dict, ...]:
        return tuple(round for round in self.rounds if round["decisions"] is not None)

    @property
    def compares(self) -> bool:
        """Whether the decisions compare scores before and after; some rules know only one of them."""
        decisions = [decision for round in self.closed_rounds for decision in round["decisions"]]
        return bool(decisions) and all(decision["rise"] is not None for decision in decisions)

    @property
    def elastic(self) -> bool:
        """Whether the search reads elastic networks: what it stands on are states of these, never trained alone."""
        by_rule = self.config.get("growth.rule") == "elastic"
        return bool(self.path) and (by_rule or any(candidate["role"] == "elastic" for candidate in self.candidates))

    @property
    def reading(self) -> dict | None:
        """The last elastic candidate whose states were read."""
        read = (candidate for candidate in reversed(self.candidates) if candidate["states"] and candidate["response"])
        return next(read, None)

    @property
    def path(self) -> list[dict]:
        """The candidates that the search stood on: its start, and what each closed round led to."""
        if not self.candidates or self.candidates[0]["role"] == "final":
            return []
        return [self.candidates[0], *(self[round["next"]] for round in self.closed_rounds)]

    @property
    def final(self) -> dict | None:
        return next((candidate for candidate in self.candidates if candidate["role"] == "final"), None)

    @property
    def standing(self) -> dict | None:
        """The network that the run has come to: the final one, else the candidate that the search stands on."""
        return self.final or (self.path[-1] if self.path else self.network)

    @property
    def rated(self) -> tuple[dict, ...]:
        """The candidates whose validation accuracy is known."""
        return tuple(candidate for candidate in self.candidates if candidate["validation"])

    @property
    def trained(self) -> tuple[dict, ...]:
        """The candidates that were trained themselves."""
        if not self.elastic:  # older records do not say how many steps a training run had
            return self.rated
        return tuple(candidate for candidate in self.candidates if candidate["steps"])

    @property
    def finished(self) -> bool:
        return self.test is not None

    @property
    def imported(self) -> bool:
        """Whether there is a network alone, which no run of this program found."""
        return self.network is not None and not self.candidates

    @property
    def tested(self) -> float | None:
        """Test accuracy of the final network."""
        return self.test["accuracy"] if self.test else (self.network or {}).get("test_accuracy")

    @property
    def validated(self) -> float | None:
        """Validation accuracy of the network that the run has come to."""
        return ((self.standing or {}).get("validation") or {}).get("accuracy")

    @property
    def data(self) -> str:
        return self.config.get("data.name") or (self.network or {}).get("data", "")

    @property
    def steps_per_epoch(self) -> int | None:
        """A validation ends every epoch, so the first one tells."""
        steps = (line["step"] for splits in self.curves.values() for line in splits.get("validation", []))
        return min(steps, default=None)

    def joules(self, *, final: bool) -> float:
        chosen = (candidate for candidate in self.candidates if (candidate["role"] == "final") == final)
        return sum(sum(candidate["joules"].values()) for candidate in chosen)


class Reference(NamedTuple):
    """A network that others are compared with; accuracy 0..1."""

    name: str
    macs: int
    parameters: int
    accuracy: float


def collect(workdirs: list[str]) -> list[Run]:
    """One run for each work directory, with names that differ.

    Raises:
      UserError: one is no work directory, or its record is damaged.
    """
    runs, names = [], set()
    for workdir in workdirs:
        run, number = collect_run(local(workdir, "WORKDIR")), 2
        name = run.name
        while name in names:
            name, number = f"{run.name} ({number})", number + 1
        names.add(name)
        runs.append(run._replace(name=name))
    return runs


def collect_run(workdir: pathlib.Path) -> Run:
    """What is in one work directory; what is not there yet is empty."""
    if not workdir.is_dir():
        raise UserError(f"there is no directory {workdir}: check the name")
    record, config = _read(workdir / "search.json"), _read(workdir / "config.json")
    network = _read(workdir / "final" / "architecture.json")
    if record is None and config is None and network is None:
        raise UserError(
            f"{workdir} is no work directory (no search.json, config.json or final/architecture.json): give one of a "
            "run, or of python -m jaxstage.interop.keras"
        )
    curves, damaged = read_metrics(workdir / "metrics.jsonl")
    skipped = [image for path in sorted(workdir.glob("skipped*.json")) for image in _read(path)["images"]]
    try:
        fields = _record(record) if record else {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{workdir / 'search.json'} is damaged or of another version ({error!r}): rerun it") from error
    return Run(
        name=workdir.resolve().name,
        workdir=str(workdir),
        config=flatten(renewed(config or {})),
        curves=curves,
        network=network,
        skipped=tuple(skipped),
        **fields,
        notes=(f"metrics.jsonl: {text.counted(damaged, 'line')} damaged and left out",) if damaged else (),
    )


def read_metrics(path: pathlib.Path) -> tuple[dict[str, dict[str, list[dict]]], int]:
    """The curves in a metrics.jsonl, and how many of its lines cannot be read (a killed run leaves one)."""
    curves, damaged = {}, 0
    if path.exists():
        for raw in path.read_text(errors="replace").splitlines():
            try:
                line = json.loads(raw)
                curves.setdefault(line["candidate"], {}).setdefault(line["split"], []).append(line)
            except (ValueError, KeyError, TypeError):
                damaged += 1
    return curves, damaged


def read_references(references: Sequence[str]) -> list[Reference]:
    """References as the command line names them: FILE.json, a list of {name, macs, parameters, accuracy}, or NAME=DIR.

    Raises:
      UserError: there is nothing of that kind, with what is missing.
    """
    found = []
    for given in references:
        path = local(given, "--reference")
        if path.is_file():
            found += _reference_list(path)
        elif "=" in given:
            found.append(_reference_run(*given.split("=", 1)))
        else:
            raise UserError(f"--reference {given}: there is no such file; give FILE.json or NAME=DIR")
    return found


def _reference_list(path: pathlib.Path) -> list[Reference]:
    try:
        entries = [
            Reference(**{key: entry[key] for key in Reference._fields}) for entry in json.loads(path.read_text())
        ]
        if not all(0 <= entry.accuracy <= 1 and entry.macs > 0 and entry.parameters > 0 for entry in entries):
            raise ValueError("accuracy lies between 0 and 1, macs and parameters above 0")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--reference {path}: {error}; give a list of {{name, macs, parameters, accuracy}}, accuracy from 0 to 1"
        ) from error
    return entries


def _reference_run(name: str, workdir: str) -> Reference:
    network = collect_run(local(workdir, "--reference")).network
    if network is None:
        raise UserError(f"--reference {name}={workdir}: that run has not come to its end")
    if "test_accuracy" not in network:
        raise UserError(f"--reference {name}={workdir}: no accuracy is written there; give it by a FILE.json")
    return Reference(name, network["macs"], network["parameters"], network["test_accuracy"])


def _record(record: dict) -> dict:
    """The fields of a Run that search.json has."""
    if record["format"] != RECORD_FORMAT:
        raise ValueError(f"format {record['format']}, expected {RECORD_FORMAT}")
    names = {candidate["name"] for candidate in record["candidates"]}
    for round in record["rounds"]:
        if not {round["current"], round["probe"], round["next"]} - {None} <= names:
            raise ValueError("a round without its candidates")
    fresh = {
        "seconds": {},
        "joules": {},
        "separable_macs": 0,
        "parent": None,
        "validation": None,
        "steps": None,
        "lower": None,
        "states": None,
        "response": None,
        "frontier": None,
    }
    return {
        "candidates": tuple({**fresh, **c, **(c.get("found") or {})} for c in record["candidates"]),
        "rounds": tuple(record["rounds"]),
        "stop_reason": record["stop_reason"],
        "test": record["test"],
        "seconds": record["seconds"],
    }


def _read(path: pathlib.Path) -> Any | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it, or choose another work directory") from error
