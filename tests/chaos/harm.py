"""Damage to files that nobody is using: what bad disks, bad copies and people do to them."""

import hashlib
import json
import pathlib
import random
from collections.abc import Callable
from typing import NamedTuple


class Damage(NamedTuple):
    """What was done to files.

    Attributes:
      told: what, for people.
      before: their bytes before, by path; what puts them back.
      after: a digest of them afterwards; None where nothing of them is left.
      only_copy: whether what they say stands nowhere else any more, so that nobody can go on from it.
      kind: of KINDS.
      plain: those of them that nobody can take for whole any more and that are no copies.
    """

    told: str
    before: dict[pathlib.Path, bytes]
    after: dict[pathlib.Path, str | None]
    only_copy: bool = False
    kind: str = ""
    plain: tuple[pathlib.Path, ...] = ()

    def unseen(self) -> bool:
        """Whether all of them still lie there as they were left."""
        return all(digest(path) == after for path, after in self.after.items())

    def named_in(self, line: str) -> bool:
        """Whether a line speaks of one of them, or of the checkpoint that it belongs to."""
        steps = {folder for path in self.before for folder in path.parents if folder.name.isdigit()}
        return any(path.name in line for path in self.before) or any(str(step) in line for step in steps)

    def mend(self) -> None:
        for path, contents in self.before.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)


def digest(path: pathlib.Path) -> str | None:
    """Of a file with something in it."""
    if not path.is_file() or path.stat().st_size == 0:
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _flip(path: pathlib.Path, chance: random.Random) -> str:
    contents = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 20))):
        contents[chance.randrange(len(contents))] ^= 1 << chance.randrange(8)
    path.write_bytes(contents)
    return "flipped bits of"


def _truncate(path: pathlib.Path, chance: random.Random) -> str:
    contents = path.read_bytes()
    path.write_bytes(contents[: chance.randrange(len(contents))])
    return "cut short"


def _zero(path: pathlib.Path, chance: random.Random) -> str:
    contents = path.read_bytes()
    start = chance.randrange(len(contents))
    path.write_bytes(contents[:start] + bytes(len(contents) - start))
    return "zeros at the end of"


def _empty(path: pathlib.Path, _: random.Random) -> str:
    path.write_bytes(b"")
    return "emptied"


def _delete(path: pathlib.Path, _: random.Random) -> str:
    path.unlink()
    return "deleted"


WAYS = (_flip, _truncate, _zero, _empty, _delete)


def _damaged(paths: list[pathlib.Path], chance: random.Random, only_copy: bool = False) -> Damage | None:
    paths = [path for path in paths if path.is_file() and path.stat().st_size]
    if not paths:
        return None
    before = {path: path.read_bytes() for path in paths}
    told = "; ".join(f"{chance.choice(WAYS)(path, chance)} {path}" for path in paths)
    if all(digest(path) == hashlib.sha256(contents).hexdigest() for path, contents in before.items()):
        return None  # zeros in the place of zeros
    return Damage(told, before, {path: digest(path) for path in paths}, only_copy)


def _one_of(paths, chance: random.Random, **options) -> Damage | None:
    found = sorted(path for path in paths if path.is_file())
    return _damaged([chance.choice(found)], chance, **options) if found else None


def steps(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The folders of all complete checkpoints."""
    return sorted(path for path in workdir.glob("checkpoints/*/*") if path.name.isdigit())


def checkpoint(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """Any file of a checkpoint."""
    folders = steps(workdir)
    return _one_of(chance.choice(folders).rglob("*"), chance) if folders else None


def checkpoints(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """All checkpoints of a candidate."""
    if not (folders := steps(workdir)):
        return None
    candidate = chance.choice(folders).parent
    files = [chance.choice(sorted(folder.glob("state/**/d/*"))) for folder in folders if folder.parent == candidate]
    return _damaged(files, chance, only_copy=True)


def record(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """The record of the search."""
    return _with_copies("search.json", workdir, chance)


def config(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """What says which config the run belongs to."""
    return _with_copies("config.json", workdir, chance)


def _with_copies(name: str, workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """One of a file and its copies, or all."""
    if not any(map(said, workdir.glob("search.json*"))):
        return None  # so far nothing was found out that could be lost
    copies = [path for path in sorted(workdir.glob(f"{name}*")) if path.suffix != ".tmp" and said(path)]
    chosen = copies if chance.random() < 0.2 else copies and [chance.choice(copies)]
    return _damaged(chosen, chance, only_copy=len(chosen) == len(copies))


def said(path: pathlib.Path) -> dict | None:
    """What a JSON file says; None if it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def metrics(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    return _one_of([workdir / "metrics.jsonl"], chance)


def handed_over(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """A file of a network that is handed over."""
    return _one_of([*workdir.glob("final/**/*"), *workdir.glob("elastic/**/*")], chance)


def told(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """What people look at."""
    return _one_of([workdir / "report.html", *workdir.glob("tensorboard/**/*")], chance)


def transferred(workdir: pathlib.Path, chance: random.Random) -> Damage | None:
    """What says what a source's weights were used for."""
    return _with_copies("transfer.json", workdir, chance)


def compiled(cache: pathlib.Path, chance: random.Random) -> Damage | None:
    """Some compiled programs, in the cache."""
    return _damaged(chance.sample(sorted(cache.glob("*-cache")), 20), chance)


CACHE = "damaged compile cache"
ORIGINALS = ("search.json", "config.json", "transfer.json")
KINDS: dict[str, tuple[float, Callable[[pathlib.Path, random.Random], Damage | None]]] = {
    "damaged checkpoint": (4, checkpoint),
    "all checkpoints damaged": (1, checkpoints),
    "damaged record": (3, record),
    "damaged config": (1, config),
    "damaged metrics": (1, metrics),
    "damaged network": (1, handed_over),
    "damaged report": (1, told),
    "damaged transfer": (0.5, transferred),
    CACHE: (1, compiled),
}  # each with how often it is drawn


def damaged(kind: str, folder: pathlib.Path, chance: random.Random) -> Damage | None:
    """Damages something of a kind; None if there is nothing to damage.

    Args:
      kind: of KINDS.
      folder: the work directory; for CACHE where compiled programs are.
      chance: chooses what, and how.
    """
    _, damaging = KINDS[kind]
    done = damaging(folder, chance)
    if done is None:
        return None
    originals = (path for path, after in done.after.items() if after and path.name in ORIGINALS)
    return done._replace(kind=kind, plain=tuple(path for path in originals if said(path) is None))
