"""How long a page takes to draw and how large it is, for a made-up search over many rounds.

    python -m benchmarks.report_page [--rounds=50]

The whole command is measured, from its start; drawing alone is what a running search pays after a round.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from benchmarks.synthetic import write_run

_ROUNDS = flags.DEFINE_integer("rounds", 50, "rounds of the search")
_TURNS = flags.DEFINE_integer("turns", 3, "the fastest of so many is told")


def main(_):
    from jaxstage.report.html import page

    with tempfile.TemporaryDirectory() as folder:
        run = str(write_run(pathlib.Path(folder) / "run", _ROUNDS.value, epochs=10))
        out = pathlib.Path(folder) / "page.html"
        command = [sys.executable, "-m", "jaxstage.report", run, "--out", str(out)]
        whole = fastest(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        drawing = fastest(lambda: page.write([run], out))
        size = out.stat().st_size / 1e6
    print(
        f"{_ROUNDS.value} rounds, {size:.2f} MB; seconds (of a processor): the command {whole}, drawing alone {drawing}"
    )


def fastest(action) -> str:
    """Seconds of the fastest of several turns, by the clock and of the processor."""
    turns = []
    for _ in range(_TURNS.value):
        start, before = time.perf_counter(), os.times()
        action()
        turns.append((time.perf_counter() - start, sum(os.times()[:4]) - sum(before[:4])))
    return f"{min(turns)[0]:.1f} ({min(turns)[1]:.1f})"


if __name__ == "__main__":
    app.run(main)
