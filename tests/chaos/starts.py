"""Starting the program, and how it ends."""

import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from tests.chaos import storage
from tests.chaos.storage import Plan

REPOSITORY = pathlib.Path(__file__).parents[2]
PATIENCE = 60.0  # seconds without an end and without progress: it hangs
LONGEST = 600.0  # seconds of a start, which takes some: it goes round in circles
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0",  # the program would start itself once more
    "PYTHONPATH": str(REPOSITORY),
}
DONE, LINE, KILLED, BAD, HANGS = "done", "clear line", "killed", "bad end", "hang"


class Blow(NamedTuple):
    """A signal from outside.

    Attributes:
      signal: its number.
      seconds: after the start, or after the storage did something, where its plan does.
      whole_group: whether to the process group.
    """

    signal: int
    seconds: float
    whole_group: bool = False


class End(NamedTuple):
    """How a start ended.

    Attributes:
      kind: DONE, LINE, KILLED by a signal, HANGS or BAD: not zero without one clear line, or with a traceback.
      status: exit code, or less than 0 for a signal.
      line: the clear line, or what is wrong.
      errors: standard error.
      hit: whether the fault came before the end.
      calls: on files of the work directory.
    """

    kind: str
    status: int | None
    line: str
    errors: str
    hit: bool
    calls: int


class Server:
    """A process of which programs are forked, see server.py; as a context manager it leaves none running."""

    def __init__(self, folder: pathlib.Path):
        """Args: folder, for the library, and what the programs say."""
        self._out, self._err, self._counts = (str(folder / name) for name in ("out.txt", "err.txt", "counts"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.server"],
            cwd=REPOSITORY,
            env={**os.environ, **ENVIRONMENT, "LD_PRELOAD": str(storage.compiled(folder))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._running = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._running:
            os.killpg(self._running, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()

    def run(
        self, module: str, argv: list[str], workdir: pathlib.Path, plan: Plan = Plan(), blow: Blow | None = None
    ) -> End:
        """Starts a module, lets a plan and a blow befall it, and waits for its end; one that hangs is killed."""
        self.begin(module, argv, workdir, plan)
        return self.finish(blow)

    def begin(self, module: str, argv: list[str], workdir: pathlib.Path, plan: Plan = Plan()) -> None:
        storage.zero(pathlib.Path(self._counts))
        order = dict(module=module, argv=argv, out=self._out, err=self._err, environment=ENVIRONMENT)
        order |= dict(plan=plan._asdict(), root=str(workdir), counts=self._counts)
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        self._running = self._answer()["pid"]

    def finish(self, blow: Blow | None = None) -> End:
        """Waits for the end of what has begun, as `run` does."""
        assert self._running
        ended, struck = self._watch(self._running, blow)
        if not ended:
            os.killpg(self._running, signal.SIGKILL)
        status = self._answer()["status"]
        self._running = None
        counts = storage.count(pathlib.Path(self._counts))
        texts = [pathlib.Path(path).read_text(errors="replace") for path in (self._out, self._err)]
        kind, line = (
            judged(status, *texts)
            if ended
            else (HANGS, f"no end within {LONGEST:.0f} s, or no progress for {PATIENCE:.0f} s")
        )
        return End(kind, status, line, texts[1], struck or counts.hits > 0, counts.calls)

    def _watch(self, pid: int, blow: Blow | None) -> tuple[bool, bool]:
        """Waits for the end; (whether it came, whether the blow was dealt before it)."""
        progress = start = time.monotonic()
        due, struck, seen = start + blow.seconds if blow else None, False, None
        while True:
            now = time.monotonic()
            if due and blow and not struck and now >= due and answered(pid, blow.signal):
                (os.killpg if blow.whole_group else os.kill)(pid, blow.signal)
                struck, progress = True, now
            wait = min(PATIENCE / 10, max(due - now, 0.01)) if due and not struck else PATIENCE / 10
            if select.select([self._process.stdout], [], [], wait)[0]:
                return True, struck
            counts = storage.count(pathlib.Path(self._counts))
            if counts != seen:
                progress, seen = now, counts
            if now - progress > PATIENCE or now - start > LONGEST:
                return False, struck

    def _answer(self) -> dict:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


def plain(argv: list[str], blow: Blow | None = None) -> End:
    """The program as people start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxstage.main", *argv],
        cwd=REPOSITORY,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    struck = False
    if blow:
        end = time.monotonic() + blow.seconds
        while process.poll() is None and not struck:
            if time.monotonic() >= end and answered(process.pid, blow.signal):
                process.send_signal(blow.signal)
                struck = True
            time.sleep(0.01)
    try:
        out, errors = process.communicate(timeout=PATIENCE if struck else 600)
    except subprocess.TimeoutExpired:
        process.kill()
        return End(HANGS, None, "no end", process.communicate()[1], struck, 0)
    kind, line = judged(process.returncode, out, errors)
    return End(kind, process.returncode, line, errors, struck, 0)


def answered(pid: int, number: int) -> bool:
    """Whether a program has its own answer to a signal by now; before that, Python itself is still to come."""
    if number == signal.SIGKILL:
        return True
    told = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    # It answers all at once. Not SIGINT, which Python answers from the beginning.
    return bool((int(told["SigCgt"], 16) | int(told["SigIgn"], 16)) & 1 << signal.SIGTERM - 1)


def judged(status: int, out: str, errors: str) -> tuple[str, str]:
    """The kind of an end, and its clear line or what is wrong with it."""
    lines = errors.strip().splitlines()
    clear = [line for line in lines if line.startswith(("error: ", "stopped by signal "))]
    if "Traceback (most recent call last)" in errors or "Fatal Python error" in errors:
        return BAD, "a traceback: " + lines[-1]
    if status == 0 and clear:
        return BAD, f"exit code 0 after {clear[0]}"
    if status == 0:
        return DONE, "".join(out.strip().splitlines()[-1:])
    if status < 0:
        return KILLED, signal.Signals(-status).name
    if len(clear) != 1 or lines[-1] != clear[0]:
        return BAD, f"exit code {status} with {len(clear)} clear lines, the last line is {lines[-1] if lines else ''!r}"
    return LINE, clear[0]
