"""Searches that are killed, starved, damaged and continued, at random: `python -m tests.chaos --minutes=30`.

After each fault the same command goes on. A search goes through several of them; then it is finished and compared with
an undisturbed one: the same scores, decisions and weights to the last bit, nothing good lost, nobody else's file
touched, every end a result or one clear line. The first failure ends it all, with what is needed to see it again.
"""

import argparse
import collections
import contextlib
import functools
import json
import pathlib
import shlex
import shutil
import signal
import sys
import tempfile
import time

from tests.chaos import faults, harm, pair
from tests.chaos.starts import BAD, DONE, HANGS, KILLED, LINE, Server
from tests.chaos.story import SEARCHES, Befallen, Story, played, references

KINDS = (*faults.KINDS, *harm.KINDS, pair.KIND)
PAIR_EVERY = 20  # runs; they are slow
COLUMNS = ("faults", "ended well", "clear line", "killed", "losses", "hangs", "bad ends")


def main() -> int:
    # What the programs inherit, as in a terminal: nohup ignores one, a shell the other of what it runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    flags = _flags()
    folder = pathlib.Path(flags.folder or tempfile.mkdtemp(prefix="chaos_")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        server = held.enter_context(Server(folder))
        found = references(server, folder, flags.searches)
        print(
            f"undisturbed: {', '.join(f'{name} {one.span.seconds:.1f} s' for name, one in found.items())}", flush=True
        )

        @functools.cache
        def two():
            (folder / "second").mkdir(exist_ok=True)
            return pair.Pair(server, held.enter_context(Server(folder / "second")), folder)

        def make(number: int) -> Story | pair.PairStory:
            alone = set(flags.kinds) == {pair.KIND}
            if pair.KIND in flags.kinds and (alone or number % PAIR_EVERY == PAIR_EVERY - 1):
                return pair.PairStory(two(), flags.seed, number)
            return Story(server, found, folder, flags.seed, number, flags.kinds)

        return _go(flags, folder, make)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so many")
    parser.add_argument("--faults", type=float, default=float("inf"), help="end after so many")
    parser.add_argument("--seed", type=int, default=0, help="of what befalls the runs")
    parser.add_argument("--run", type=int, default=0, help="number of the first run")
    parser.add_argument(
        "--kinds", type=lambda text: text.split(","), default=KINDS, help=f"some of: {', '.join(KINDS)}"
    )
    parser.add_argument("--searches", type=lambda text: text.split(","), default=SEARCHES, help=", ".join(SEARCHES))
    parser.add_argument("--folder", help="where the runs lie; without it, a temporary one")
    parser.add_argument("--go_on", action="store_true", help="count failures instead of ending with the first")
    return parser.parse_args()


def _go(flags: argparse.Namespace, folder: pathlib.Path, make) -> int:
    start, counts, number, failed = time.monotonic(), collections.defaultdict(collections.Counter), 0, 0
    for story, befallen in played(make, flags.run):
        _count(counts, befallen)
        number += befallen.kind in counts and befallen.kind not in ("none", "finished")
        spent = time.monotonic() - start
        print(f"{spent / 60:6.1f} min  {number:5}  run {story.number} {story.name}: {_told(befallen)}", flush=True)
        if befallen.failures:
            failed += 1
            print(_again(flags, story, befallen), flush=True)
            if not flags.go_on:
                break
        over = number >= flags.faults or spent > 60 * flags.minutes
        if over and befallen.kind == "finished":
            break
    print(_table(counts))
    told = {
        "faults": number,
        "failures": failed,
        "minutes": round((time.monotonic() - start) / 60, 2),
        "seed": flags.seed,
    }
    print(json.dumps({**told, "kinds": {kind: dict(row) for kind, row in counts.items()}}), flush=True)
    if not failed and not flags.folder:
        shutil.rmtree(folder)
    return 1 if failed else 0


def _told(befallen: Befallen) -> str:
    what = " ".join(filter(None, [befallen.kind, befallen.told and f"({befallen.told})"]))
    line = befallen.line if befallen.end == LINE else ""
    return f"{what}: {befallen.end} {line}".rstrip()


def _count(counts: dict, befallen: Befallen) -> None:
    column = {DONE: "ended well", LINE: "clear line", KILLED: "killed", HANGS: "hangs", BAD: "bad ends"}[befallen.end]
    counts[befallen.kind].update({"faults": 1, column: 1})
    if befallen.failures and befallen.end not in (HANGS, BAD):
        counts[befallen.kind]["losses"] += 1


def _again(flags: argparse.Namespace, story: Story | pair.PairStory, befallen: Befallen) -> str:
    chosen = f"--kinds={shlex.quote(','.join(flags.kinds))} --searches={','.join(flags.searches)}"
    command = f"python -m tests.chaos --seed={flags.seed} --run={story.number} {chosen}"
    program = f"python -m jaxstage.main {shlex.join(story.argv)}"
    return "\n".join(
        [
            *(f"FAILED: {failure}" for failure in befallen.failures),
            f"  what befell it: {befallen.kind} {befallen.told}",
            f"  the program: {program}",
            f"  as it is now: {story.workdir}; before the last start: {story.before}",
            f"  once more: {command}",
        ]
    )


def _table(counts: dict) -> str:
    rows = [(kind, *(str(row[column]) for column in COLUMNS)) for kind, row in sorted(counts.items())]
    return "\n".join(f"{row[0]:24}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in [("kind", *COLUMNS), *rows])


if __name__ == "__main__":
    sys.exit(main())
