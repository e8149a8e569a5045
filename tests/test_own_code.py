"""Methods, rules and families of one's own that go wrong: one line that names them and what is expected."""

import re
import sys
import types

import jax
import numpy as np
import pytest

from jaxstage import config as configs
from jaxstage import importance
from jaxstage.cli.ends import clear_ends
from jaxstage.depth_search import plan
from jaxstage.errors import OwnCodeError, UserError
from jaxstage.importance import Scores
from jaxstage.models import build
from jaxstage.workdir.record import Record


@pytest.fixture
def own(monkeypatch):
    """Makes `mine:thing` stand for something; returns its name."""

    def name(thing):
        module = types.ModuleType("mine")
        module.thing = thing
        monkeypatch.setitem(sys.modules, "mine", module)
        return "mine:thing"

    return name


def divides(*_):
    return 1 / 0


def divides_depths(depths, **options):
    return depths[0] / 0


TRAINED = types.SimpleNamespace(depths=(1, 1))


@pytest.mark.parametrize(
    "returned",
    [
        None,
        [1.0, 2.0],
        np.zeros(2),
        Scores(((1.0,),)),
        Scores(((1.0, 2.0, 3.0),)),
        Scores(()),
        Scores((1.0, 2.0)),
        Scores(((1.0, float("nan")),)),
        Scores(((1.0, 2.0), (1.0,))),
        Scores((("a", "b"),)),
        float("nan"),
    ],
)
def test_methods_that_return_no_scores(own, returned):
    config = configs.default()
    config.importance.method = own(lambda trained, key: returned)
    with pytest.raises(
        UserError, match=r"mine:thing returned .*: expected jaxstage.importance.Scores with 2 finite numbers"
    ):
        importance.method(config)(TRAINED, jax.random.key(0))


@pytest.mark.parametrize("samples", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]), ((np.float32(1), 2), (3, 4))])
def test_scores_of_any_numbers(own, samples):
    config = configs.default()
    config.importance.method = own(lambda trained, key: Scores(samples))
    found = importance.method(config)(TRAINED, jax.random.key(0))
    assert found.samples == ((1.0, 2.0), (3.0, 4.0)) and type(found.samples[0][0]) is float


def test_what_a_method_raises_is_shown_from_its_own_code_on(own, capsys):
    config = configs.default()
    config.importance.method = own(divides)
    with pytest.raises(SystemExit) as ended, clear_ends():
        importance.method(config)(TRAINED, jax.random.key(0))
    line, *trace = str(ended.value).splitlines()
    assert line == "error: mine:thing raised ZeroDivisionError: division by zero"
    assert "in divides" in trace[1] and not any("jaxstage/importance" in part for part in trace)


class Rule:
    noun = "luck"

    def __init__(self, decide):
        self.decide = decide


def decide(config):
    cost_of = lambda depths: types.SimpleNamespace(parameters=1, macs=1, separable_macs=0, latency_ms=None)
    record = plan.decide(Record(), config, cost_of)
    return plan.decide(record, config, cost_of)


def test_rules_that_are_none(own):
    config = configs.default()
    config.growth.rule = own(lambda record, config, cost_of: None)
    with pytest.raises(UserError, match=r"mine:thing is .*: expected a growth rule, with a noun and a method decide"):
        decide(config)
    config.growth.rule = own(Rule(lambda record, config, cost_of: None))
    with pytest.raises(UserError, match=re.escape("mine:thing.decide returned None (NoneType): expected an action")):
        decide(config)
    config.growth.rule = own(Rule(divides))
    with pytest.raises(OwnCodeError, match="mine:thing raised ZeroDivisionError"):
        decide(config)
    config.growth.stop_probe = 1.0
    with pytest.raises(
        UserError, match=r"config.growth.stop_probe=1.0: mine:thing has no method is_clear; leave it out"
    ):
        decide(config)


@pytest.mark.parametrize(
    "family, text",
    [
        (7, "mine:thing is 7 (int): expected a function from depths to a flax.linen module"),
        (lambda depths, **options: None, "mine:thing returned None (NoneType): expected a flax.linen module"),
        (divides_depths, "mine:thing raised ZeroDivisionError: division by zero"),
        (lambda depths: None, "mine:thing raised TypeError"),
    ],
)
def test_families_that_build_no_network(own, family, text):
    with pytest.raises(UserError, match=re.escape(text)):
        build({"family": own(family), "widths": [4]}, (1,), num_classes=2)


def test_a_module_that_raises_while_it_is_imported(tmp_path, monkeypatch):
    (tmp_path / "stumbles.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OwnCodeError, match="stumbles:thing raised ZeroDivisionError") as error:
        build({"family": "stumbles:thing", "widths": [4]}, (1,), num_classes=2)
    assert "stumbles.py" in error.value.trace
