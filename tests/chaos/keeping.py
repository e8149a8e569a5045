"""What must be true after every start: nothing good is gone, nobody else's file is touched, what is damaged is kept."""

import json
import pathlib
from typing import NamedTuple

from tests.chaos.harm import Damage, digest, said, steps

KEEP = 2  # checkpoints of each candidate, the config's default
FOREIGN = {"notes.txt": b"mine\n", "mine/search.json": b"{}\n", "checkpoints/mine.txt": b"mine as well\n"}


def put_foreign(workdir: pathlib.Path) -> None:
    """Lays files that do not belong to jaxstage into a work directory."""
    for name, contents in FOREIGN.items():
        (workdir / name).parent.mkdir(parents=True, exist_ok=True)
        (workdir / name).write_bytes(contents)


class Kept(NamedTuple):
    """What there is to lose in a work directory.

    Attributes:
      steps: complete checkpoints.
      progress: how much the best copy of the record says; 0 without one.
      tested: whether it says that the run is complete.
      network: digest of final/architecture.json.
    """

    steps: frozenset[pathlib.Path]
    progress: int
    tested: bool
    network: str | None


def kept(workdir: pathlib.Path) -> Kept:
    best = max(filter(None, map(said, workdir.glob("search.json*"))), key=_progress, default={})
    tested = best.get("test") is not None
    return Kept(frozenset(steps(workdir)), _progress(best), tested, digest(workdir / "final" / "architecture.json"))


def _progress(record: dict) -> int:
    """How much is in a record; grows with everything that is found out."""
    candidates, rounds = record.get("candidates") or [], record.get("rounds") or []
    found = [c.get(name) for c in candidates for name in ("name", "validation", "scores", "found", "steps")]
    found += [round.get(name) for round in rounds for name in ("current", "probe", "next")]
    return sum(part is not None for part in [*found, record.get("stop_reason"), record.get("test")])


def losses(workdir: pathlib.Path, before: Kept, damage: list[Damage], shared: bool) -> list[str]:
    """What is gone after a start that should have been kept.

    Args:
      workdir: as the start left it.
      before: what was there before the start, and before the damage that came just before it.
      damage: what has been damaged so far.
      shared: whether files of others lie there, see `put_foreign`.
    """
    now = kept(workdir)
    hurt = {path for one in damage for path in one.before}
    foreign = FOREIGN.items() if shared else ()
    found = [f"{name} is not as it was" for name, contents in foreign if not _is(workdir / name, contents)]
    found += [
        f"checkpoint {step} is gone" for step in sorted(before.steps - now.steps) if not _dropped(step, now, hurt)
    ]
    if now.progress < before.progress and not {"search.json"} & {path.name[:11] for path in hurt}:
        found.append(f"the record says less than before ({now.progress} instead of {before.progress})")
    network = workdir / "final"
    if before.tested and before.network != now.network and not any(path.is_relative_to(network) for path in hurt):
        found.append(f"{network} was handed over and is not as it was")
    return found + [f"{path} was damaged and is gone" for one in damage for path in _removed(one, workdir)]


def _is(path: pathlib.Path, contents: bytes) -> bool:
    return path.is_file() and path.read_bytes() == contents


def _dropped(step: pathlib.Path, now: Kept, hurt: set[pathlib.Path]) -> bool:
    """Whether a checkpoint may be gone: there are enough newer ones, or it was damaged and is set aside."""
    newer = [other for other in now.steps if other.parent == step.parent and int(other.name) > int(step.name)]
    aside = list((step.parent / "damaged").glob(f"{step.name}*"))
    return len(newer) >= KEEP or bool(aside) and any(path.is_relative_to(step) for path in hurt)


def _removed(damage: Damage, workdir: pathlib.Path) -> list[pathlib.Path]:
    """The records and configs that were damaged for all to see, and are not there any more, nor anywhere beside."""
    if not damage.plain:
        return []
    there = {digest(path) for path in workdir.rglob("*") if path.is_file()}
    return [path for path in damage.plain if damage.after[path] not in there]


def outcome(workdir: pathlib.Path) -> dict:
    """What must not depend on faults, with floats as they were written, to the last bit."""
    record = json.loads((workdir / "search.json").read_text())
    spent = ("seconds", "joules")
    return {
        "candidates": [{name: c[name] for name in c if name not in spent} for c in record["candidates"]],
        "rounds": record["rounds"],
        "stop_reason": record["stop_reason"],
        "test": record["test"],
        "architecture": json.loads(
            (workdir / "final" / "architecture.json").read_text()
        ),  # with a digest of the weights
    }


def logged(workdir: pathlib.Path) -> set[tuple]:
    """The validations in metrics.jsonl, those that can be read; means over steps depend on where a run was stopped."""
    try:
        texts = (workdir / "metrics.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return set()
    return {line for text in texts if (line := _validation(text))}


def _validation(text: bytes) -> tuple | None:
    try:
        line = json.loads(text)
        known = line["candidate"], line["step"], line["loss"], line["accuracy"]
        return known if line["split"] == "validation" else None
    except (ValueError, KeyError, TypeError):
        return None
