"""What describes a network is looked at before anything is made of it."""

import json
import re
import shutil

import pytest
from conftest import REPOSITORY

from jaxstage import load
from jaxstage.errors import UserError


@pytest.fixture
def run(tmp_path):
    """A finished run, of which the description can be changed."""
    shutil.copytree(REPOSITORY / "tests" / "fixtures" / "run_of_0_2", tmp_path / "run")
    return tmp_path / "run"


def changed(run, change):
    path = run / "final" / "architecture.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(change(found) or found))


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda found: found.update(depths=[10**9, 1]), "no network has depths [1000000000, 1]"),
        (lambda found: found["model"].update(widths=[10**12, 8]), "widths=(1000000000000, 8): must be at most"),
        (lambda found: found.update(input_shape=[10**9, 8, 1]), "images [1000000000, 8, 1]"),
        (lambda found: found.update(num_classes=10**10), "10000000000 classes"),
        (lambda found: found["model"].update(head_width=10**10), "head_width=10000000000: must be at most"),
        (lambda found: found.update(depths=[-1, 1]), "no network has depths [-1, 1]"),
        (lambda found: found.update(depths=["1", 1]), "is damaged (depths[0]='1' is no int"),
        (lambda found: found.update(input_shape=[8, 8]), "images [8, 8]"),
        (lambda found: found.update(depths=None), "is damaged (depths=None is no tuple[int, ...]"),
        (lambda found: found["model"].update(family=7), "model.family=7: must be text"),
        (lambda found: found.pop("model") and None, "is damaged (model is missing)"),
        (lambda found: found.pop("weights_sha256") and None, "is damaged (weights_sha256 is missing)"),
        (lambda found: [1, 2], "is damaged ("),
    ],
)
def test_a_description_that_none_of_ours_has(run, change, text):
    changed(run, change)
    with pytest.raises(UserError, match=re.escape(text)):
        load(run)


def test_what_cannot_be_read(run):
    path = run / "final" / "architecture.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=r"architecture.json is damaged \(Unterminated string|is damaged \(Expecting"):
        load(run)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"cannot read .*architecture.json \(Is a directory\)"):
        load(run)
