"""How long a user waits: for the import, for --help, and for the first training step, cold and warm.

    python -m benchmarks.startup [--config=configs/digits.py]

Each figure is a process of its own, from its start. Cold means an empty compilation cache.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

_CONFIG = flags.DEFINE_string("config", "configs/digits.py", "FILE[:PRESET] for the first training step")

FIRST_STEP = """
import os, sys
from absl import app
from jaxstage import main
from jaxstage.cli.flags import parser
from jaxstage.report.monitor import Monitor
Monitor.advance = lambda monitor, step: os._exit(0)  # the step is done and its result is there
app.run(main.main, flags_parser=parser(main.__doc__))
"""


def main(_):
    report("import jaxstage", ["-c", "import jaxstage"])
    report("python -m jaxstage.main --help", ["-m", "jaxstage.main", "--help"])
    with tempfile.TemporaryDirectory() as folder:
        for state in ("cold", "warm"):
            arguments = [
                "-c",
                FIRST_STEP,
                f"--config={_CONFIG.value}",
                f"--workdir={pathlib.Path(folder) / state}",
                f"--config.compilation_cache={folder}/cache",
                "--config.log_every_steps=1",
            ]
            report(f"first training step of {_CONFIG.value}, {state}", arguments)


def report(text: str, arguments: list[str]):
    start = time.perf_counter()
    process = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{text} failed:\n{process.stderr}")
    print(f"{text:60} {seconds:6.2f} s", flush=True)


if __name__ == "__main__":
    app.run(main)
