"""Loads what a run handed over: `python -m tests.chaos.loads WORKDIR`; one line says what is wrong."""

import sys

import jaxstage
from jaxstage.errors import UserError

if __name__ == "__main__":
    try:
        jaxstage.load(sys.argv[1])
    except UserError as error:
        sys.exit(f"error: {error}")
