"""A search run from Python: the same as the command, and friendly to notebooks."""

import json
import os
import signal
import subprocess
import sys
import threading

import jax.numpy as jnp
import pytest

import jaxstage
from jaxstage import search
from jaxstage.config import load
from jaxstage.errors import UserError
from jaxstage.report.monitor import Monitor

TINY = {
    "model.depths": (1, 1),
    "model.widths": (4, 8),
    "batch_size": 128,
    "candidate.epochs": 1,
    "final.epochs": 2,
    "growth.max_rounds": 1,
    "importance.examples": 128,
    "importance.method": "uniform",
    "devices": 1,
    "compilation_cache": "",
}


def tiny(**overrides):
    return load("configs/digits.py", TINY | overrides)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A finished search, stopped once on its way, and continued in the same process."""
    workdir, advance = tmp_path_factory.mktemp("found") / "run", Monitor.advance
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    def interrupt(monitor, step):
        advance(monitor, step)
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Monitor, "advance", interrupt)
        with pytest.raises(KeyboardInterrupt, match="the same call continues"):
            search(tiny(), workdir)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert list((workdir / "checkpoints" / "r00_start").glob("[0-9]*"))
    yield search(tiny(), workdir)
    signal.signal(signal.SIGINT, before)


def test_what_a_search_returns(found):
    assert found.depths == found.module.depths == tuple(found.history["candidates"][-1]["depths"])
    module, variables, metadata = jaxstage.load(found.workdir)
    image = jnp.ones((1, 8, 8, 1))
    assert (module.apply(variables, image) == found.module.apply(found.variables, image)).all()
    assert found.test_accuracy == metadata["test_accuracy"]
    on_disk = json.loads((found.workdir / "search.json").read_text())
    assert json.loads(json.dumps(found.history)) == {key: on_disk[key] for key in found.history}
    assert "params" not in repr(found) and str(found.depths) in repr(found)


def test_a_finished_search_is_not_done_again(found, monkeypatch):
    monkeypatch.setattr(Monitor, "advance", lambda *_: pytest.fail("trains again"))
    assert search(tiny(), found.workdir).history == found.history


def test_another_thread_can_search(found):
    results = []
    thread = threading.Thread(target=lambda: results.append(search(tiny(), found.workdir)))
    thread.start()
    thread.join()
    assert results[0].depths == found.depths


def test_mistakes_are_short_also_in_a_notebook(tmp_path):
    with pytest.raises(UserError, match="config.growth.step=0") as error:
        search(tiny(**{"growth.step": 0}), tmp_path / "run")
    assert error.value._render_traceback_() == ["UserError: config.growth.step=0: must be at least 1"]
    with pytest.raises(UserError, match="jaxstage.evaluate"):
        search(tiny(task="evaluate", source="runs/x"))


def test_a_program_keeps_its_own_flags_and_imports_nothing_early():
    code = (
        "import jaxstage; import sys; print('jax' in sys.modules); jaxstage.search; "
        "from absl import flags; print({'config', 'workdir'} & set(flags.FLAGS))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.split("\n")[:2] == ["False", "set()"], process.stderr


@pytest.mark.parametrize(
    "file, overrides, text",
    [
        ("configs/nothing.py", {}, "there is no config file configs/nothing.py"),
        ("digitz", {}, r"there is no config file digitz: did you mean digits\?"),
        ("configs/cifar10.py:huge", {}, "unknown preset 'huge'"),
        ("configs/digits.py", {"model.depth": (1,)}, "did you mean 'model.depths'"),
        ("configs/digits.py", {"batch_size": "many"}, "config.batch_size='many': "),
    ],
)
def test_what_a_config_cannot_be(file, overrides, text):
    with pytest.raises(UserError, match=text) as error:
        load(file, overrides)
    assert "\n" not in str(error.value)


def test_a_config_with_overrides():
    config = load("configs/cifar10.py:smoke", {"growth.max_macs": 10**9, "model.depths": (1, 2, 3)})
    assert (config.growth.max_macs, config.model.depths, config.data.name) == (10**9, (1, 2, 3), "cifar10")
