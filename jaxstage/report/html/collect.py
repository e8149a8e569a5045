"""What work directories say, for a page. Nothing is drawn here, and JAX is not needed."""

import contextlib
import json
import pathlib
import typing
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxstage import typed
from jaxstage.config import flatten
from jaxstage.config.moved import renewed
from jaxstage.errors import UserError, first_line, printable
from jaxstage.files import local, read_bytes, read_json, require_within
from jaxstage.report import text
from jaxstage.workdir import architecture
from jaxstage.workdir import record as records
from jaxstage.workdir.claim import CONFIG, RECORD
from jaxstage.workdir.record import Candidate, Record

# What a page makes use of: of a line of metrics.jsonl, and of a config of any version.
_LINE = {"candidate": str, "split": str, "step": int, "loss": float, "accuracy": float}
_USED = {
    "model.widths": tuple[int, ...],
    "energy.kg_per_kwh": float,
    "growth.rule": str,
    "data.name": str,
    "source": str | None,
}


class Run(NamedTuple):
    """One work directory.

    Attributes:
      name: of the directory; unique on a page.
      workdir: as it was given.
      config: flat, {"model.depths": [2, 2, 2], ...}; empty for an imported network.
      record: of the search, or an empty one.
      curves: {candidate: {"train" or "validation": [{step, loss, accuracy, ...}, ...]}}.
      network: final/architecture.json, or None before the end.
      skipped: images that could not be read: {split, image, why}.
      notes: what of the directory is missing or damaged, for people.
    """

    name: str
    workdir: str
    config: dict[str, Any]
    record: Record = Record()
    curves: dict[str, dict[str, list[dict]]] = {}
    network: dict | None = None
    skipped: tuple[dict, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def elastic(self) -> bool:
        """Whether the search reads elastic networks: what it stands on are states of these, never trained alone."""
        by_rule = self.config.get("growth.rule") == "elastic"
        return bool(self.record.path) and (by_rule or any(c.role == "elastic" for c in self.record.candidates))

    @property
    def standing(self) -> Candidate | None:
        """The network that the run has come to: the final one, else the candidate that the search stands on."""
        if self.record.candidates:
            return self.record.final or self.record.path[-1]
        return self.network and Candidate(
            name="imported",
            role="final",
            depths=tuple(self.network["depths"]),
            parent=None,
            parameters=self.network["parameters"],
            macs=self.network["macs"],
            separable_macs=self.network.get("separable_macs", 0),
        )

    @property
    def finished(self) -> bool:
        return self.record.test is not None

    @property
    def imported(self) -> bool:
        """Whether there is a network alone, which no run of this program found."""
        return self.network is not None and not self.record.candidates

    @property
    def test_accuracy(self) -> float | None:
        """Of the final network."""
        return self.record.test["accuracy"] if self.record.test else (self.network or {}).get("test_accuracy")

    @property
    def validation_accuracy(self) -> float | None:
        """Of the network that the run has come to."""
        return self.standing.validation["accuracy"] if self.standing and self.standing.validation else None

    @property
    def data(self) -> str:
        return self.config.get("data.name") or (self.network or {}).get("data", "")

    @property
    def steps_per_epoch(self) -> int | None:
        """A validation ends every epoch, so the first one tells."""
        steps = (line["step"] for splits in self.curves.values() for line in splits.get("validation", []))
        return min(steps, default=None)


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
    config, path = _config(workdir / CONFIG), workdir / "final" / architecture.FILE
    network = _network(path, workdir) if path.exists() else None
    if config is None and network is None and not (workdir / RECORD).exists():
        raise UserError(
            f"{workdir} is no work directory (no search.json, config.json or final/architecture.json): give one of a "
            "run, or of python -m jaxstage.interop.keras"
        )
    curves, damaged = read_metrics(workdir / "metrics.jsonl")
    skipped = [image for path in sorted(workdir.glob("skipped*.json")) for image in _skipped(path)]
    return Run(
        name=printable(workdir.resolve().name),
        workdir=str(workdir),
        config=config or {},
        record=records.load(workdir, newer=True),
        curves=curves,
        network=network,
        skipped=tuple(skipped),
        notes=(f"metrics.jsonl: {text.counted(damaged, 'line')} damaged and left out",) if damaged else (),
    )


def read_metrics(path: pathlib.Path) -> tuple[dict[str, dict[str, list[dict]]], int]:
    """The curves in a metrics.jsonl, and how many of its lines cannot be read (a killed run leaves one)."""
    curves, damaged = {}, 0
    if path.exists():
        for raw in read_bytes(path).decode(errors="replace").splitlines():
            try:
                line = json.loads(raw)
                if any(typed.problem(line[key], kind) for key, kind in _LINE.items()):
                    raise ValueError("numbers that are none")
                curves.setdefault(line["candidate"], {}).setdefault(line["split"], []).append(line)
            except (ValueError, KeyError, TypeError, RecursionError):
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
        given = [{key: entry[key] for key in Reference._fields} for entry in read_json(path)]
        hints = typing.get_type_hints(Reference)
        if wrong := [
            found for entry in given for key in entry if (found := typed.problem(entry[key], hints[key], key))
        ]:
            raise ValueError(wrong[0])
        entries = [Reference(**{**entry, "name": printable(entry["name"])}) for entry in given]
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


def _config(path: pathlib.Path) -> dict[str, Any] | None:
    """The flat config of a run, None without one; it may be of another version."""
    if not path.exists():
        return None
    with _damage(path):
        config = flatten(renewed(read_json(path)))
        for key in config.keys() & _USED.keys():
            if problem := typed.problem(config[key], _USED[key], key):
                raise ValueError(problem)
        return config


def _network(path: pathlib.Path, workdir: pathlib.Path) -> dict:
    require_within(path, workdir)
    return architecture.read(path)


def _skipped(path: pathlib.Path) -> list[dict]:
    with _damage(path):
        images = read_json(path)["images"]
        if problem := typed.problem(images, tuple[dict[str, Any], ...], "images"):
            raise ValueError(problem)
        return [{key: str(image[key]) for key in ("image", "split", "why")} for image in images]


@contextlib.contextmanager
def _damage(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({first_line(error)}): move it away, or choose another work directory"
        ) from error
