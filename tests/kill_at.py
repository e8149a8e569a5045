"""Runs jaxstage.main and kills it with SIGKILL at a named moment: `python kill_at.py MOMENT FLAG ...`.

The moments are reached by wrapping functions of the program from outside; the program knows nothing of it.
"""

import os
import signal
import sys

from absl import app

from jaxstage import main
from jaxstage.cli.flags import parser


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(owner, name: str, before=lambda *arguments: False, after=lambda *arguments: False):
    """Replaces a function by one that kills the process before or after the call if the predicate says so."""
    original = getattr(owner, name)

    def wrapped(*arguments, **options):
        if before(*arguments):
            kill()
        result = original(*arguments, **options)
        if after(*arguments):
            kill()
        return result

    setattr(owner, name, wrapped)


def arrange(moment: str):
    from jaxstage.depth_search import reading
    from jaxstage.report.monitor import Monitor
    from jaxstage.workdir import networks, record
    from jaxstage.workdir.checkpoint import Store

    match moment:
        case "training":  # of the start, between two checkpoints
            wrap(Monitor, "advance", before=lambda monitor, step: step == 8)
        case "saving":  # the background write of a checkpoint has just begun
            wrap(Store, "save", after=lambda store, step, tree: store.directory.name.startswith("r01_") and step == 10)
        case "importance":  # in the middle of the probe's score
            draws = []
            module = sys.modules["jaxstage.importance.perturbation"]
            wrap(module, "filter_noise", before=lambda *_: draws.append(1) or len(draws) == 2)
        case "reading":  # some states of an elastic network are read, others not
            states = []
            wrap(reading, "_mean_statistics", before=lambda *_: states.append(1) or len(states) == 3)
        case "between rounds":  # the decision is taken and about to be written
            wrap(record, "save", before=lambda new, workdir: new.rounds and new.rounds[-1].next)
        case "final training":
            wrap(Monitor, "advance", before=lambda monitor, step: step == 22)
        case "handing over":  # the test is done, the artefacts are written but not in place
            wrap(networks, "write_json", after=lambda path, data: path.name == networks.ARCHITECTURE)
        case "writing":  # any file of the run or folder of it is about to be put in place, except for those by Orbax
            wrap(os, "replace", before=lambda *_: True)
        case _:
            raise SystemExit(f"unknown moment {moment!r}")


if __name__ == "__main__":
    arrange(sys.argv.pop(1))
    app.run(main.main, flags_parser=parser(main.__doc__))
