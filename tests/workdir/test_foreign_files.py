"""Files of a work directory that somebody else made: whatever is in them, reading ends with a result or one clear line."""

import contextlib
import json
import random
import re
import shutil
import signal

import damage
import pytest
from conftest import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxstage
from jaxstage.errors import UserError
from jaxstage.export import export
from jaxstage.report.html import page
from jaxstage.report.html.collect import collect, collect_run
from tests.foreign import READERS, written

OF_0_2 = REPOSITORY / "tests" / "fixtures" / "run_of_0_2"
draws = given(st.integers(0, 2**32).map(random.Random))


@contextlib.contextmanager
def ending(use, seconds=60):
    """Yields what comes of a use, a result or the line that it ends with, which it has to do in time."""

    def late(*_):
        pytest.fail(f"not at its end after {seconds} s")  # no Exception, which might be taken for a damaged file's

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield use()
    except UserError as error:
        assert 20 < len(str(error)) < 600 and "\n" not in str(error)
        yield str(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(use, seconds=60):
    with ending(use, seconds) as found:
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Work directories and tables with every file that is read of others."""
    return written(tmp_path_factory.mktemp("foreign"))


@contextlib.contextmanager
def damaged(path, draw):
    """The file, damaged while the context lasts."""
    whole = path.read_text()
    try:
        path.write_bytes(damage.of_text(draw, whole))
        yield path
    finally:
        path.write_text(whole)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None)
@draws
def test_every_reader_ends_in_a_result_or_a_line(place, name, draw):
    with damaged(place / name, draw) as path:
        outcome(lambda: READERS[name](path))


@pytest.mark.parametrize("name", [name for name in READERS if "/" in name])
@settings(max_examples=2, deadline=None)
@draws
def test_so_does_the_page(place, name, draw):
    with damaged(place / name, draw):
        drawn = outcome(lambda: page.render(collect([str(place / name.split("/")[0])])))
        assert drawn.encode(errors="backslashreplace")


@pytest.mark.parametrize("kind", damage.REPLACED)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_neither_waited_for_nor_followed_for_ever(place, tmp_path, name, kind):
    whole = tmp_path / "copy"
    shutil.copytree(place, whole)
    damage.replaced(whole / name, kind)
    outcome(lambda: READERS[name](whole / name), seconds=10)


def change(path, edit):
    found = json.loads(path.read_text())
    edit(found)
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "name, edit, line",
    [
        ("run/search.json", lambda it: it["candidates"][0].update(depths=[10**9] * 3), "more than any network has"),
        ("run/search.json", lambda it: it["candidates"][-1].update(name="../../x"), "no name of a folder"),
        ("run/search.json", lambda it: it["candidates"][-1].update(name="r00_start"), "of the same name"),
        ("run/search.json", lambda it: it["candidates"][0].update(macs=10**400), "macs=.* is no int"),
        ("run/search.json", lambda it: it["candidates"][0].update(validation={}), "without loss or accuracy"),
        ("run/search.json", lambda it: it["rounds"][0]["decisions"].pop(), "different numbers of stages"),
        ("run/search.json", lambda it: it.update(seconds="1"), "seconds='1' is no float"),
        (
            "elastic/search.json",
            lambda it: it["candidates"][1]["found"]["response"]["gains"].pop(),
            "numbers of stages",
        ),
        ("run/final/architecture.json", lambda it: it.update(class_names=[[1]] * 10), "is no str"),
        ("run/final/architecture.json", lambda it: it.update(class_names=["a"]), "1 class names for 10 classes"),
        ("run/final/architecture.json", lambda it: it["normalization"].update(std=[0]), "normalization.std is not"),
        ("run/final/architecture.json", lambda it: it["normalization"].update(mean=[[1], 2]), "mean is not of images"),
        (
            "run/final/architecture.json",
            lambda it: it["model"].update(stem="x"),
            "config.model.stem='x': choose one of",
        ),
        ("run/final/architecture.json", lambda it: it.update(lower=[9, 1, 1]), "lowest depths"),
        ("run/config.json", lambda it: it["model"].update(widths="16"), "16"),
        ("run/config.json", lambda it: it["model"].update(widths=["16"]), "is damaged .*widths\\[0\\]='16' is no int"),
        ("latency.json", lambda it: it.update(lower=3), "lower=3 must be"),
        ("latency.json", lambda it: it.update(base_ms=10**400), "base_ms=1000.*\\.\\.\\.0+ must be"),
        ("references.json", lambda it: it[0].update(name={}), "name={} is no str"),
    ],
)
def test_what_does_not_fit_is_named(place, tmp_path, name, edit, line):
    whole = tmp_path / "copy"
    shutil.copytree(place, whole)
    change(whole / name, edit)
    with pytest.raises(UserError, match=line):
        READERS[name](whole / name)


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(OF_0_2, tmp_path / "run")


def weights(run):
    return sorted(path for path in (run / "final" / "weights").rglob("*") if path.is_file())


@settings(max_examples=25, deadline=None)
@draws
def test_damaged_weights_are_never_handed_over(tmp_path_factory, draw):
    run = shutil.copytree(OF_0_2, tmp_path_factory.mktemp("weights") / "run")
    path = draw.choice(weights(run))
    path.write_bytes(damage.of_bytes(draw, path.read_bytes() or b" "))
    outcome(lambda: jaxstage.load(run))  # what it hands over has the digest of the weights


@pytest.mark.parametrize("kind", damage.REPLACED)
def test_a_pipe_or_a_link_among_the_weights(run, kind):
    for path in (run / "final" / "weights" / "manifest.ocdbt", run / "final" / "weights" / "_METADATA"):
        damage.replaced(path, kind)
    lines = {"pipe": "is a pipe or a device", "away": "leads out of", "device": "leads out of"}
    with ending(lambda: jaxstage.load(run), seconds=20) as said:
        assert lines.get(kind, "cannot be read" if kind == "folder" else "cannot read") in said


def test_links_that_lead_out_of_the_work_directory(run, tmp_path):
    shutil.move(run / "final", tmp_path / "elsewhere")
    (run / "final").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link that leads out of .*cp -rL"):
        jaxstage.load(run)
    with pytest.raises(UserError, match="is a link that leads out of"):
        collect_run(run)
    (run / "final").unlink()
    shutil.move(tmp_path / "elsewhere", run / "kept")
    (run / "final").symlink_to("kept")
    assert jaxstage.load(run).metadata["depths"] == [1, 1]


def test_an_export_is_not_written_through_a_link_out_of_the_work_directory(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (run / "exports").symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match="exports is a link that leads out of"):
        export(run, "stablehlo")
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize(
    "edit, line",
    [
        ({"widths": [4, 9]}, "another network's: .* has shape"),
        ({"widths": [2**16, 2**16]}, "another network's: .* has shape"),
        ({"depths": [300, 300]}, "arrays for 600 blocks"),
        ({"depths": [2, 1]}, "another network's: only one has .*stage1_block02"),
    ],
)
def test_weights_of_another_network_are_not_read(run, edit, line, monkeypatch):
    monkeypatch.setattr("orbax.checkpoint.StandardCheckpointer.restore", None)

    def described(it):
        it.update(edit)
        it["model"].update(edit)

    change(run / "final" / "architecture.json", described)
    with ending(lambda: jaxstage.load(run)) as said:
        assert re.search(line, said)
