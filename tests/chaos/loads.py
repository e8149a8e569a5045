"""Loads what a run handed over: `python -m tests.chaos.loads WORKDIR`; one line says what is wrong."""

import sys

import jaxstage
from jaxstage.cli.ends import clear_ends, quiet

if __name__ == "__main__":
    quiet()
    with clear_ends():
        jaxstage.load(sys.argv[1])
