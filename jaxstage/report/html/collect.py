"""What work directories say, for a page. Nothing is drawn here, and JAX is not needed."""

import pathlib
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from jaxstage.config import flatten, typed
from jaxstage.config.moved import renewed
from jaxstage.errors import UserError, printable
from jaxstage.files import local, read_json, require_within, there
from jaxstage.report import curves
from jaxstage.workdir import architecture, tested
from jaxstage.workdir import record as records
from jaxstage.workdir.claim import find_config
from jaxstage.workdir.record import Candidate, Record
from jaxstage.workdir.tested import Tested

COMPARISON = "compare.json"  # in the folder of a comparison
Found = TypeVar("Found")


@dataclass(frozen=True)
class Compared:
    """What `jaxstage compare` made of a run and others at equal cost, as its compare.json says it; texts.

    Attributes:
      page: where the page of all of them lies.
      verdict: what came out.
      head, rows: a table with a row for each arm.
      notes: what has to be known to read it.
    """

    page: str
    verdict: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


class Run(NamedTuple):
    """One work directory.

    Attributes:
      name: of the directory; unique on a page.
      workdir: as it was given.
      config: flat, {"model.depths": [2, 2, 2], ...}; empty for an imported network.
      record: of the search, or an empty one.
      curves: {candidate: {"train" or "validation": [{step, loss, accuracy, ...}, ...]}}.
      network: final/architecture.json, or None before the end.
      tested: what the test says of each class, or None before the end, and of older runs.
      compared: the comparison that the run is a part of, if there is one and it has ended.
      skipped: images that could not be read: {split, image, why}.
      notes: what of the directory is missing or damaged, for people.
    """

    name: str
    workdir: str
    config: dict[str, Any]
    record: Record = Record()
    curves: dict[str, dict[str, list[dict]]] = {}
    network: dict | None = None
    tested: Tested | None = None
    compared: Compared | None = None
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
        return (self.network or {}).get("data") or self.config.get("data.name", "")

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
    config, path = find_config(workdir), workdir / "final" / architecture.FILE
    network = _network(path, workdir) if there(path) else None
    record = records.find(workdir, newer=True)
    if config.value is None and network is None and record.value is None:
        raise UserError(
            f"{workdir} is no work directory (no search.json, config.json or final/architecture.json): give one of a "
            "run, or of python -m jaxstage.interop.keras"
        )
    found = curves.read(workdir)
    skipped = [image for path in sorted(workdir.glob("skipped*.json")) for image in read_json(path, _images) or ()]
    notes = [note.trouble for note in (config, record) if note.trouble]
    test, compared = _if_whole(tested.read, workdir, notes), _if_whole(_comparison, workdir, notes)
    return Run(
        name=printable(workdir.resolve().name),
        workdir=str(workdir),
        config=flatten(renewed(config.value or {})),
        record=record.value or Record(),
        curves=found.lines,
        network=network,
        tested=_printable(test) if test else None,
        compared=compared,
        skipped=tuple(skipped),
        notes=(*notes, *curves.lost(found, record.value or Record())),
    )


def _if_whole(read: Callable[[pathlib.Path], Found | None], workdir: pathlib.Path, notes: list[str]) -> Found | None:
    """What a file says that the rest of the page can do without; a note is added where it is damaged."""
    try:
        return read(workdir)
    except UserError as error:
        notes.append(str(error))
        return None


def _comparison(workdir: pathlib.Path) -> Compared | None:
    """Runs of a comparison lie two folders below its own."""
    place = workdir.resolve()
    path = place.parent.parent / COMPARISON

    def parse(data: Any) -> Compared | None:
        if not isinstance(data, dict) or "table" not in data:  # somebody else's, or of a version that kept no table
            return None
        runs = [pathlib.PurePath(one["workdir"]) for row in data["arms"] for one in row["seeds"]]
        if not any(run.parts[-2:] == place.parts[-2:] for run in runs):
            return None
        page, table = str(path.with_suffix(".html")), data["table"]
        found = Compared(page, data["verdict"], table["head"], table["rows"], data["notes"])
        if problem := typed.problem(found, Compared):
            raise ValueError(problem)
        return found

    return read_json(path, parse, "move it away; the page does without it")


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
        given = [{key: entry[key] for key in Reference._fields} for entry in read_json(path) or ()]
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


def _printable(test: Tested) -> Tested:
    """With names that can be written into a page."""
    pictures = [replace(one, label=printable(one.label), named=printable(one.named)) for one in test.pictures]
    names = tuple(map(printable, test.class_names))
    return replace(test, class_names=names, machine=printable(test.machine), pictures=tuple(pictures))


def _images(skipped: dict) -> list[dict]:
    return [{key: str(image[key]) for key in ("split", "image", "why")} for image in skipped["images"]]


def _network(path: pathlib.Path, workdir: pathlib.Path) -> dict:
    require_within(path, workdir)
    return architecture.read(path)
