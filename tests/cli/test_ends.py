"""What a command prints on standard error besides its one line: of the libraries' own complaints nothing that means nothing."""

import subprocess
import sys

from conftest import REPOSITORY

PROGRAM = """
from jaxstage.cli import ends
ends.quiet()

async def read(then):
    try:
        await then
    except BaseException as error:
        raise Exception("could not read") from error

class Waits:
    def __await__(self):
        yield

def ended(how):
    reading = read(Waits())
    reading.send(None)
    return how(reading)
"""


def complaints(how: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", f"{PROGRAM}\n{how}"], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    return process.stderr


def test_a_read_that_was_ended_with_others_is_nothing_to_tell():
    """Orbax's own reads answer their end with an error that nobody waits for."""
    assert complaints("ended(lambda reading: None)") == ""


def test_a_write_that_was_never_begun_is_nothing_to_tell():
    """After one that failed Orbax gives others up, and asyncio complains of them."""
    assert complaints("read(Waits())") == ""


def test_what_else_goes_wrong_unseen_is_told():
    told = complaints("class Late:\n    def __del__(self):\n        raise ValueError('unseen')\nLate()")
    assert "ValueError: unseen" in told
