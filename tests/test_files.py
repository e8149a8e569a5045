"""Paths: what is no path on this machine is refused before anything is done, ~ is somebody's home."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import REPOSITORY

import jaxstage
from jaxstage import cli, files
from jaxstage import config as configs
from jaxstage.data.sources import open_source
from jaxstage.errors import JaxstageWarning, UserError
from jaxstage.files import PAUSES, local, read_text, retried, write_text
from jaxstage.interop.keras import import_network

URLS = [
    "gs://bucket/run",
    "s3://bucket/run",
    "http://host/run",
    "https://host/run",
    "file:/tmp/run",
    "file:run",
    "gs:/run",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_no_path(url):
    with pytest.raises(UserError, match=f"^--workdir={url}: .*only paths on this machine"):
        local(url, "--workdir")


@pytest.mark.parametrize("path", ["run", "a/b:c", "12:30", "/a/file:b", "lr=0.1,seed=[0]", "gs", pathlib.Path("a/b")])
def test_ordinary_paths_stay_as_they_are(path):
    assert local(path, "--workdir") == pathlib.Path(path)


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local("~/runs/one", "--workdir") == tmp_path / "runs" / "one"
    with pytest.raises(UserError, match="no such home"):
        local("~nobody_of_that_name/runs", "--workdir")


def commands(url: str) -> list[list[str]]:
    search = ["search", "--config=digits", "--workdir=run"]
    return [
        ["search", "--config=digits", f"--workdir={url}"],
        ["search", "--config=digits", f"--workdir={url}", "--dry_run"],
        [*search, f"--config.data.dir={url}"],
        [*search, f"--config.compilation_cache={url}"],
        [*search, f"--config.source={url}"],
        ["search", f"--config={url}"],
        ["train", "--config=digits", f"--workdir={url}"],
        ["transfer", url, "--workdir=run"],
        ["evaluate", url],
        ["predict", url, "picture.png"],
        ["predict", "digits", url],
        ["export", url, "--format=stablehlo"],
        ["export", "digits", "--format=stablehlo", f"--out={url}"],
        ["report", url],
        ["report", "digits", f"--out={url}"],
        ["report", "digits", f"--reference={url}"],
        ["report", "digits", f"--reference=big={url}"],
        ["prepare", "cifar10", f"--data_dir={url}"],
        ["prepare", "mine", f"--folder={url}"],
    ]


@pytest.mark.parametrize("number", range(len(commands(""))))
def test_every_command_refuses_it_for_every_path_and_leaves_nothing(number, digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").symlink_to(digits_run)
    command = commands("gs://bucket/x")[number]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    told = capsys.readouterr().err + str(ended.value)
    assert ended.value.code not in (0, None) and "gs: is not supported, only paths on this machine" in told
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_the_old_command_and_python_refuse_it_too(tmp_path, monkeypatch):
    process = subprocess.run(
        [sys.executable, "-m", "jaxstage.main", "--config=configs/digits.py", "--workdir=gs://bucket/run"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1 and process.stderr.count("\n") == 1 and "gs: is not supported" in process.stderr
    assert not (REPOSITORY / "gs:").exists()
    config = configs.default()
    for call in (
        lambda: jaxstage.search(config, "gs://bucket/run"),
        lambda: jaxstage.load("s3://bucket/run"),
        lambda: jaxstage.export.export("s3://bucket/run", "stablehlo"),
        lambda: jaxstage.predict("s3://bucket/run", "x"),
        lambda: import_network("weights.h5", None, "gs://bucket/run", "digits", None),
        lambda: import_network("gs://weights.h5", None, str(tmp_path), "digits", None),
    ):
        with pytest.raises(UserError, match="is not supported, only paths on this machine"):
            call()
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/tfds")
    with pytest.raises(UserError, match="gs: is not supported"):
        open_source("cifar10", None)


def test_home_is_expanded_wherever_a_run_lies(digits_run, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(digits_run.parent))
    monkeypatch.chdir(tmp_path)
    assert jaxstage.load("~/run").metadata["data"] == "digits"
    cli.main(["report", "~/run", "--out=page.html"])
    assert (tmp_path / "page.html").exists()
    cli.main(
        [
            "search",
            "--config=digits",
            "--dry_run",
            "--workdir=~/other",
            "--config.model.depths=(1,1)",
            "--config.model.widths=(4,8)",
            "--config.growth.max_rounds=1",
            "--config.devices=1",
        ]
    )
    assert str(digits_run.parent / "other") in capsys.readouterr().out and not (tmp_path / "~").exists()


def test_writing_follows_no_link_that_was_planted(tmp_path):
    """`report` writes into a work directory that somebody may have sent."""
    mine, page = tmp_path / "mine", tmp_path / "report.html"
    mine.write_text("mine")
    for planted in (page, tmp_path / "report.html.tmp"):
        planted.symlink_to(mine)
        files.write_text(page, "page")
        assert (mine.read_text(), page.read_text(), page.is_symlink()) == ("mine", "page", False)


def test_a_text_of_any_size_is_not_read(tmp_path):
    with open(tmp_path / "sparse.json", "w") as file:
        file.truncate(2**33)
    with pytest.raises(UserError, match="is larger than 256 MiB"):
        files.read_text(tmp_path / "sparse.json")


def test_what_would_fill_the_memory_is_refused():
    files.require_stored("x", files.MOST_UNPACKED, 1)
    files.require_stored("x", 2**30, 2**24)
    for described, stored in ((files.MOST_UNPACKED + 1, 1), (10**12, 2**30), (10**16, 10**16)):
        with pytest.raises(UserError, match="x has .* bytes and says that they unpack to .*: get it again"):
            files.require_stored("x", described, stored)


@pytest.mark.parametrize("text", ["[" * 10**5, "[" * 60 + "]" * 60, '{"a":' * 10**5, '{"a":' * 60 + "1" + "}" * 60])
def test_nesting_is_bounded(text):
    with pytest.raises(ValueError, match="nested too deeply"):
        files.parse_json(text)


def failing(times: int, error: Exception, calls: list):
    """Something that fails the first few times."""

    def do():
        calls.append("call")
        if len(calls) <= times:
            raise error
        return "done"

    return do


@pytest.mark.parametrize(
    "error, passes",
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), True),
        (ValueError("DEADLINE_EXCEEDED: reading x"), True),
        (RuntimeError("HTTP response code: 503 Service Unavailable"), True),
        (ValueError("UNKNOWN: Error writing file [OS error: Stale file handle]"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ValueError("UNAVAILABLE: No space left on device"), False),
        (OSError(errno.EACCES, "Permission denied"), False),
        (ValueError("503 is not a number of blocks"), False),
        (UserError("explained (Input/output error)"), False),
        (MemoryError(), False),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again_and_nothing_else(error, passes):
    calls = []
    if not passes:
        with pytest.raises(type(error)):
            retried(failing(1, error, calls), "reading x", (0, 0))
        assert len(calls) == 1
        return
    with pytest.warns(JaxstageWarning, match="^reading x failed [(].*[)]: trying again in 0 s$") as told:
        assert retried(failing(2, error, calls), "reading x", (0, 0)) == "done"
    assert len(calls) == 3 and len(told) == 2
    with pytest.warns(JaxstageWarning), pytest.raises(type(error)):
        retried(failing(9, error, []), "reading x", (0, 0))


def test_all_tries_take_a_minute_at_most():
    assert list(PAUSES) == sorted(PAUSES) and 20 < sum(PAUSES) < 60


def test_a_file_is_written_and_read_through_errors_that_pass_and_stays_through_others(tmp_path, monkeypatch):
    path, calls, replace = tmp_path / "x.json", [], os.replace
    monkeypatch.setattr(files, "PAUSES", (0, 0))
    write_text(path, "old")
    fails = failing(2, OSError(errno.EIO, "Input/output error"), calls)
    monkeypatch.setattr(os, "replace", lambda *paths: (fails(), replace(*paths)))
    with pytest.warns(JaxstageWarning, match=f"writing {path} failed"):
        write_text(path, "new")
    assert read_text(path) == "new" and len(calls) == 3
    calls[:] = []
    fails = failing(9, OSError(errno.EIO, "Input/output error"), calls)
    with pytest.warns(JaxstageWarning), pytest.raises(UserError, match="cannot write .*Input/output error"):
        write_text(path, "newer")
    assert path.read_text() == "new" and [file.name for file in tmp_path.iterdir()] == ["x.json"]
    fails, calls[:] = failing(1, OSError(errno.ESTALE, "Stale file handle"), calls), []
    monkeypatch.setattr(files, "open", lambda *given: (fails(), open(*given))[1], raising=False)
    with pytest.warns(JaxstageWarning, match=f"reading {path} failed"):
        assert read_text(path) == "new"
