"""Every file that is read of others: whole ones, and what reads them. Tests damage them, and `python -m tests.fuzz`."""

import json
import pathlib
import shutil

from benchmarks.synthetic import write_elastic_run, write_network, write_run
from jaxstage import config as configs
from jaxstage.cost import latency
from jaxstage.report.html.collect import collect_run, read_references
from jaxstage.workdir import architecture, record

TABLE = latency.Table("phone", 1, (32, 32, 3), {"family": "resnet"}, (1, 1), 2.0, (0.5, 0.25))
REFERENCES = [{"name": "ResNet-20", "macs": 40_551_808, "parameters": 272_474, "accuracy": 0.9125}]


def written(root: pathlib.Path) -> pathlib.Path:
    """The folder, with work directories and tables in it, each of READERS among them."""
    run, network = write_run(root / "run", 1), write_network(root / "network", test_accuracy=0.9)
    shutil.copytree(network / "final", run / "final")
    (run / "skipped.json").write_text(json.dumps({"images": [{"split": "a/train", "image": "b", "why": "c"}]}))
    write_elastic_run(root / "elastic", 1, step=1, latency=True)
    (root / "latency.json").write_text(json.dumps(TABLE._asdict()))
    (root / "references.json").write_text(json.dumps(REFERENCES))
    return root


def _table(path: pathlib.Path):
    table = latency.load(path)
    return latency.summary(table), table.latency(table.lower)


READERS = {
    "run/search.json": lambda path: record.load(path.parent),
    "elastic/search.json": lambda path: record.load(path.parent, newer=True),
    "run/final/architecture.json": lambda path: architecture.read(path),
    "run/config.json": lambda path: configs.load(f"train:{path.parent}"),
    "run/metrics.jsonl": lambda path: collect_run(path.parent),
    "run/skipped.json": lambda path: collect_run(path.parent),
    "latency.json": _table,
    "references.json": lambda path: read_references([str(path)]),
}  # each by its name below `written`
