"""Two processes that search together, one of which is lost: the other ends with a clear line, and both go on."""

import pathlib
import random
import shutil
import signal
import socket
from collections.abc import Iterator

from tests.chaos import keeping
from tests.chaos.starts import BAD, DONE, KILLED, LINE, Blow, End, Server
from tests.chaos.story import TINY, Befallen

KIND = "one of two killed"
MOST_FAULTS = 3  # in one run


class Pair:
    """What two processes need: a server for each, and what an undisturbed run of theirs ends with."""

    def __init__(self, first: Server, second: Server, folder: pathlib.Path):
        """Args: two servers; folder, for work directories and what is compiled."""
        self._servers, self.folder = (first, second), folder
        own = [flag for flag in TINY if not flag.startswith("--config.devices")]
        self.argv = [*own, "--config.growth.rule=relative_rise", f"--config.compilation_cache={folder / 'compiled'}"]
        undisturbed = folder / "undisturbed" / "two"
        ends = self.run(undisturbed)
        if any(end.kind != DONE for end in ends):
            raise SystemExit(f"error: the undisturbed run of two fails: {[end.errors[-500:] for end in ends]}")
        self.outcome = keeping.outcome(undisturbed)

    def run(self, workdir: pathlib.Path, struck: int = 0, blow: Blow | None = None) -> tuple[End, End]:
        """Both processes, from start to end; `struck`, which of them a blow befalls."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        cluster = [f"--workdir={workdir}", f"--coordinator=localhost:{port}", "--num_processes=2"]
        for process, server in enumerate(self._servers):
            server.begin("jaxstage.main", [*self.argv, *cluster, f"--process_id={process}"], workdir)
        hit, other = self._servers[struck].finish(blow), self._servers[1 - struck].finish()
        return (other, hit) if struck else (hit, other)


class PairStory:
    """A run of two processes that loses one of them now and then; like `story.Story`."""

    name = "two processes"

    def __init__(self, pair: Pair, seed: int, number: int):
        self.number, self._pair, self._chance = number, pair, random.Random(f"{seed}/{number}")
        self.workdir = self.before = pair.folder / f"run{number}"
        self.argv = [*pair.argv, f"--workdir={self.workdir}"]

    def play(self) -> Iterator[Befallen]:
        self.clear()  # of a storm that was ended
        for _ in range(MOST_FAULTS):
            struck, blow = self._chance.randrange(2), Blow(signal.SIGKILL, round(self._chance.uniform(0.5, 10), 2))
            before = keeping.kept(self.workdir)
            ends = self._pair.run(self.workdir, struck, blow)
            lost, other = ends[struck], ends[1 - struck]
            failures = keeping.losses(self.workdir, before, [], shared=False)
            if lost.hit and lost.kind != KILLED or other.kind not in (DONE, LINE):
                failures.append(f"the killed one: {lost.kind}, {lost.line}; the other: {other.kind}, {other.line}")
            end = BAD if failures else other.kind
            if lost.hit:
                yield Befallen(KIND, f"process {struck} after {blow.seconds} s", end, other.line, tuple(failures))
            if other.kind == DONE or failures:
                break
        yield from self._finish()

    def clear(self) -> None:
        shutil.rmtree(self.workdir, ignore_errors=True)

    def _finish(self) -> Iterator[Befallen]:
        ends = self._pair.run(self.workdir)
        failures = [f"{end.kind}: {end.line}" for end in ends if end.kind != DONE]
        if not failures:
            found, expected = keeping.outcome(self.workdir), self._pair.outcome
            failures = [f"{name} differs" for name in expected if found[name] != expected[name]]
        yield Befallen("finished", "", BAD if failures else DONE, "", tuple(failures))
