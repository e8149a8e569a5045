"""What may not be read or written: one line that names it, at once."""

import json
import os
import subprocess
import sys
import tempfile

import pytest
from conftest import REPOSITORY

# As nobody, after everything has been imported: nobody may not be able to read the packages.
CODE = """
import grp, json, os, pathlib, pwd, sys
import jax.numpy as jnp
import jaxstage
from jaxstage import config as configs
from jaxstage.errors import UserError
from jaxstage.report.html import collect
from jaxstage.workdir import networks, record as records
from jaxstage.workdir.checkpoint import Store
from jaxstage.workdir.claim import claim

place, told, tree = pathlib.Path(sys.argv[1]), {}, {"a": jnp.ones(3)}

def save(folder, step):
    with Store(folder, keep=1) as store:
        store.save(step, tree)

def shut_between(folder):
    with Store(folder, keep=1) as store:
        store.save(1, tree)
        store._manager.wait_until_finished()
        folder.chmod(0o555)
        store.save(2, tree)

def restore(folder):
    with Store(folder) as store:
        store.restore(tree, print)

def begin(workdir):
    with claim(workdir, configs.default(), print):
        records.save(records.Record(), workdir)

save(place / "first", 1), restore(place / "first")
os.setgid(65534), os.setuid(65534)
cases = [
    (".", 0, begin), ("config.json", 0, begin), ("search.json", 0, begin), ("metrics.jsonl", 0, begin),
    ("checkpoints/final", 0o555, begin), ("checkpoints", 0o555, begin), ("tensorboard/final", 0, begin),
    (".", 0, collect.collect_run), ("config.json", 0, collect.collect_run), ("search.json", 0, collect.collect_run),
    ("metrics.jsonl", 0, collect.collect_run), (".", 0, jaxstage.load), ("final", 0, jaxstage.load),
    ("checkpoints/final", 0o555, lambda workdir: save(workdir / "checkpoints" / "final", 2)),
    ("checkpoints/final", 0, lambda workdir: restore(workdir / "checkpoints" / "final")),
    ("checkpoints/final/1", 0, lambda workdir: restore(workdir / "checkpoints" / "final")),
    ("between", 0o777, lambda workdir: shut_between(workdir / "between")),
]
for number, (name, rights, use) in enumerate(cases):
    workdir = place / f"run{number}"
    begin(workdir)
    (workdir / "metrics.jsonl").touch()
    save(workdir / "checkpoints" / "final", 1)
    for folder in ("tensorboard/final", "final", "between"):
        (workdir / folder).mkdir(parents=True)
    (workdir / name).chmod(rights)
    try:
        use(workdir)
        told[f"{number}: {name}"] = "nothing"
    except Exception as error:
        told[f"{number}: {name}"] = [type(error).__name__, str(error), name if name != "." else str(workdir)]
    (workdir / name).chmod(0o777)
print(json.dumps(told))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs the right to become another user")
def test_what_is_shut_is_one_line_at_once():
    with tempfile.TemporaryDirectory() as place:  # pytest keeps its own to the user
        os.chmod(place, 0o777)
        command = [sys.executable, "-c", CODE, place]
        process = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=300)
    assert process.returncode == 0 and "Traceback" not in process.stderr, process.stderr[-2000:]
    told = json.loads(process.stdout.splitlines()[-1])
    assert len(told) == 17
    for case, (kind, line, name) in told.items():
        assert kind == "UserError" and "\n" not in line and name in line, (case, kind, line)
