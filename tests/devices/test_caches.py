"""Folders of what was compiled: only the user's own are used, and nothing about them costs more than time."""

import os
import pathlib
import subprocess
import sys
import warnings

import jax
import pytest
from conftest import REPOSITORY

from jaxstage.devices.caches import compilation_cache, unfit
from jaxstage.errors import JaxstageWarning, UserError

WARNING = "Error {} persistent compilation cache entry for '{}': {}"


def test_a_folder_is_made_for_the_user_alone(tmp_path):
    before = os.umask(0)
    try:
        assert unfit(tmp_path / "a" / "cache") is None
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "cache").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode, fits", [(0o755, True), (0o500, True), (0o775, False), (0o1777, False), (0o702, False)])
def test_where_others_may_write_nothing_is_run(tmp_path, mode, fits):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path):
        path.chmod(mode)
        assert (unfit(path) is None) == fits, path
        assert fits or f"may be written by others (mode {mode:o}): chmod go-w it" in unfit(path)


def test_what_belongs_to_another_user_is_not_run(tmp_path):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 65534, 65534)
    assert "belongs to another user (number 65534)" in unfit(tmp_path)


@pytest.mark.parametrize("path, why", [("/dev/null/cache", "cannot be used"), ("~/cache", "set [$]HOME")])
def test_a_folder_that_cannot_be_is_one_line(path, why, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda text: text)
    before = jax.config.jax_compilation_cache_dir
    with pytest.warns(JaxstageWarning, match=f"{why}.*another folder in --config.compilation_cache"):
        with compilation_cache(path):
            assert jax.config.jax_compilation_cache_dir == before
    assert not pathlib.Path("~").exists()


def test_a_url_is_still_a_mistake():
    with pytest.raises(UserError, match="gs: is not supported"), compilation_cache("gs://bucket/cache"):
        pass


@pytest.fixture
def cache(tmp_path):
    """A folder to keep compiled programs in; what JAX is told of it is undone."""
    before = {name: getattr(jax.config, name) for name in ("jax_compilation_cache_dir", MINIMUM)}
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


MINIMUM = "jax_persistent_cache_min_compile_time_secs"


def test_the_first_that_goes_wrong_is_told_and_other_warnings_pass(cache):
    with pytest.warns() as told, compilation_cache(str(cache)):
        warnings.warn("something else", UserWarning)
        for name in ("one", "two"):
            warnings.warn(WARNING.format("writing", name, "OSError: [Errno 28] No space left on device"))
            warnings.warn(WARNING.format("reading", name, "OSError: [Errno 5] Input/output error"))
    assert [one.category for one in told] == [UserWarning, JaxstageWarning]
    assert "writing one failed, OSError: [Errno 28] No space left" in str(told[1].message)


def test_a_damaged_program_is_set_aside_and_kept_anew(tmp_path):
    """As a run that was killed while it wrote leaves it. Whole ones stay."""
    program = """
import sys
import jax
from jaxstage.devices.caches import compilation_cache

def step(x):
    return x * 3 + 1

with compilation_cache(sys.argv[1]):
    print(jax.jit(step)(2.0), jax.jit(lambda x: x - step(x))(2.0))
"""
    cache = tmp_path / "cache"

    def run():
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XLA_FLAGS": ""}
        done = subprocess.run([sys.executable, "-c", program, cache], env=environment, capture_output=True, text=True)
        assert done.stdout == "7.0 -5.0\n", done.stderr
        return done.stderr, {path.name: path.read_bytes() for path in cache.glob("*-cache")}

    told, before = run()
    (step,) = (name for name in before if name.startswith("jit_step-"))
    assert told == "" and len(before) > 1
    (cache / step).write_bytes(before[step][:100])
    told, after = run()
    assert told.count("JaxstageWarning") == 1 and "a damaged one was set aside; this costs time alone" in told
    assert after.keys() == before.keys() and len(after[step]) > 100
    assert [path.read_bytes() for path in cache.glob("*.damaged")] == [before[step][:100]]
    assert run() == ("", after)
