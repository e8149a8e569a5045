"""Names from elsewhere, of folders, classes and configs, are text and nothing else: on a page and on the console."""

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from pages import Page

from benchmarks.synthetic import change, write_elastic_run, write_network, write_run
from jaxstage import cli
from jaxstage.cli.ends import one_line
from jaxstage.errors import printable
from jaxstage.report import console
from jaxstage.report.html import page
from jaxstage.workdir import tested
from jaxstage.workdir.confusion import Confusion

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><svg onload=alert(1)>",
    "</title></style><b>",
    "' onmouseover='alert(1)",
)
NAMES = [
    *MARKUP[:2],
    " ".join(MARKUP),
    "{{7*7}}{% raw %} --><!-- #100099 #010001 url(#x) font: 9px x; $x^2$ &lt;b&gt;",
    "_\x1b]0;owned\x07\x9b2J\u202ex\udcff",
]
INNOCUOUS = "name"


def named(root, name):
    """Work directories in which everything that has a name of somebody's choice has this one."""
    folder = re.sub("[/\x00-\x1f\x7f-\x9f\ud800-\udfff]", "|", name)  # of the others the last two are no paths for us
    run = write_run(root / "one" / folder, 1, data__name=name, source=name)
    elastic = write_elastic_run(root / "two" / folder, 1, step=1)
    network = write_network(root / "three" / folder, data=name, class_names=[name] * 10, test_accuracy=0.9)
    mistake = tested.Picture(name, name, 0.9, tested.png(np.zeros((4, 4, 3), np.uint8)))
    tested.write(run, Confusion((name, "b"), ((1, 1), (0, 1))), name, [mistake])
    (run / "skipped.json").write_text(json.dumps({"images": [{"split": name, "image": name, "why": name}]}))
    (root / "references.json").write_text(
        json.dumps([{"name": name, "macs": 10**8, "parameters": 10**5, "accuracy": 0.5}])
    )
    for workdir in (run, elastic):
        change(workdir / "search.json", lambda record: _rename(record, printable(name)))
    return (run, elastic, network), root / "references.json"


def _rename(record, name):
    for round in record["rounds"]:
        for decision in round["decisions"]:
            decision.update({"why": name, "noun": name, "evidence": 0.5, "evidence_error": 0.1, f"own {name}": name})
    for candidate in record["candidates"]:
        candidate["role"] = name if candidate["role"] == "probe" else candidate["role"]
        candidate["seconds"][name] = 1.0
    record["stop_reason"] = name


def drawn(root, name):
    runs, references = named(root, name)
    page.write([str(run) for run in runs], root / "page.html", [str(references)])
    return Page((root / "page.html").read_text())


PICTURE = re.compile("<svg.*?</svg>", re.DOTALL)


def shape(page):
    """Every element outside the pictures with the names of its attributes; of pictures, what kinds there are.

    How many lines and letters a picture has depends on how wide a name is.
    """
    outside, inside = PICTURE.sub("", page.text), "".join(PICTURE.findall(page.text))
    in_pictures = {(tag, attribute) for tag, attributes in Page(inside).elements for attribute in (tag, *attributes)}
    return [(tag, tuple(sorted(attributes))) for tag, attributes in Page(outside).elements], in_pictures


@pytest.fixture(scope="module")
def innocuous(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("innocuous"), INNOCUOUS)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_adds_no_element_and_no_attribute(tmp_path, innocuous, name):
    found = drawn(tmp_path, name)
    (elements, in_pictures), (usual, usual_in_pictures) = shape(found), shape(innocuous)
    assert elements == usual and in_pictures <= usual_in_pictures
    assert not [key for _, attributes in found.elements for key in attributes if key.startswith("on")]
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in found.all("src"))
    assert len(found.all("src")) == 1 and printable(name) in map(printable, found.cells)


def test_only_the_pages_own_script_may_run(innocuous):
    (script,) = re.findall(r"<script>(.*?)</script>", innocuous.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = innocuous.all("content")[-1:]
    assert f"script-src 'sha256-{digest}';" in policy and "default-src 'none'" in policy


@pytest.mark.parametrize("name", NAMES + ["[red]", "[/red]", "[link=x]y", ":smile:"])
@pytest.mark.parametrize("terminal", [True, False])
def test_the_console_shows_names_as_they_are(monkeypatch, name, terminal):
    said = io.StringIO()
    monkeypatch.setattr(console, "_console", lambda **_: console._Plain(file=said, width=300, force_terminal=terminal))
    reporter = console.Reporter()
    reporter.evaluation(
        {
            "source": name,
            "data": name,
            "split": "test",
            "examples": 9,
            "loss": 1.0,
            "depths": [1],
            "parameters": 1,
            "trainable_parameters": 1,
            "macs": 1,
            "conv_dense_macs": 1,
            "latency_ms": {},
            "device": name,
        },
        Confusion((name, "b"), ((0, 1), (0, 1))),
    )
    reporter.warn(name)
    text = re.sub(r"\x1b\[[\d;]*m", "", said.getvalue())  # rich's own colours
    assert text.count(printable(name)) == 7
    assert printable(text) == text


def test_an_error_has_nothing_that_a_terminal_obeys(tmp_path, capsys):
    assert one_line("a\x1b]0;x\x07\r\nb\x9b2J") == r"a\x1b]0;x\x07 b\x9b2J"
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", str(tmp_path / "\x1b[2Jnowhere")])
    assert r"\x1b[2Jnowhere" in ended.value.code


def test_a_page_of_names_that_have_no_encoding(tmp_path):
    run = write_run(tmp_path / "run", 1)
    change(run / "search.json", lambda record: record["candidates"][0].update(role="\ud800"))
    assert r"\ud800" in page.write([str(run)], tmp_path / "page.html").read_text()
