"""Half a minute of the chaos test: faults of a fixed seed, which searches get over as if nothing had happened."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from tests.chaos import starts


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="the failing storage needs Linux and cc")
def test_searches_get_over_faults(tmp_path):
    """A storm that is a program of its own, as it is when it lasts for hours."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--faults=8", "--seed=17", "--searches=elastic", f"--folder={tmp_path}"],
        cwd=REPOSITORY,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    told = json.loads(process.stdout.splitlines()[-1])
    assert told["faults"] >= 8 and not told["failures"]


@pytest.mark.parametrize(
    "status, out, errors, kind",
    [
        (0, '{"depths": [1]}\n', "warning: slow\n", starts.DONE),
        (1, "", "warning: slow\nerror: the disk is full\n", starts.LINE),
        (143, "", "stopped by signal 15, everything is saved\n", starts.LINE),
        (-9, "", "", starts.KILLED),
        (0, "{}\n", "error: the disk is full\n", starts.BAD),
        (1, "", "error: one\nerror: two\n", starts.BAD),
        (1, "", "error: one\nand more\n", starts.BAD),
        (1, "", "", starts.BAD),
        (1, "", "Traceback (most recent call last):\nerror: one\n", starts.BAD),
    ],
)
def test_what_a_clear_end_is(status, out, errors, kind):
    assert starts.judged(status, out, errors)[0] == kind
