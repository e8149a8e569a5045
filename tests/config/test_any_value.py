"""Any value of any key is a valid config, or one line that names the key."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from jaxstage import config as configs
from jaxstage.config.keys import KEYS
from jaxstage.config.overrides import last_of_each, read
from jaxstage.errors import UserError
from jaxstage.workdir.claim import default_name

NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**31, 2**63, -(2**63), 10**400, 1e-320, 1e308]))
TEXTS = st.one_of(
    st.text(), st.sampled_from(["", ":", "a:b", "gs://x", "~", "a\nb", "a\0b", "\udce9", "ü", "x" * 5000])
)
ONE = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
ANY = st.one_of(
    ONE, st.lists(ONE, max_size=4).map(tuple), st.lists(ONE, max_size=2), st.just(((1, 2), 3)), st.just(object())
)
FIT = {  # more values of each type that may fit
    bool: st.booleans(),
    int: st.integers(-1, 10**6),
    float: st.floats(-1, 1e6),
    str: TEXTS,
    tuple: st.lists(st.one_of(st.integers(-1, 1000), st.floats(0, 1)), max_size=4).map(tuple),
}


def outcome(config) -> str | None:
    """What is said of a config; None where it is valid, and then it can be kept and has a name."""
    try:
        configs.validate(config)
    except UserError as error:
        return str(error)
    json.loads(json.dumps(configs.plain(config), allow_nan=False))
    default_name("digits.py", config).encode()
    return None


@pytest.mark.parametrize("name", KEYS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_value_in_a_config_file(name, data):
    value = data.draw(st.one_of(ANY, FIT[KEYS[name].kind]))
    config = configs.load("digits")
    try:
        with config.ignore_type():
            config.update_from_flattened_dict({name: value})
    except OverflowError:  # of the file that does this, whose line is told
        return
    told = outcome(config)
    if told is not None:
        told.encode()
        assert "config." in told and "\n" not in told and len(told) < 500


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(KEYS)), st.one_of(TEXTS, ONE.map(str)), st.booleans())
def test_any_value_on_the_command_line(name, text, apart):
    arguments = [f"--config.{name}", text] if apart else [f"--config.{name}={text}"]
    try:
        config, _ = read("digits", arguments)
    except UserError:
        return
    told = outcome(config)
    assert told is None or "config." in told


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(TEXTS, st.sampled_from(["--config.seed", "--config.data.flip", "--", "-", "--config.model.depths"]))
    )
)
def test_any_words_on_the_command_line(words):
    try:
        config, rest = read("digits", words)
    except UserError:
        return
    assert isinstance(config, ConfigDict) and set(rest) <= set(words)


def test_what_is_given_twice_counts_as_it_was_given_last():
    depths = ["--config.model.depths=(1,1)", "--config.model.depths", "(2,2)", "--config.model.depths=(3,4,5)"]
    assert read("digits", depths)[0].model.depths == (3, 4, 5)
    assert read("digits", depths[:3])[0].model.depths == (2, 2)
    assert read("digits", [*depths, "--config.seed=1", "--config.seed=2"])[0].seed == 2
    left = ["run", *depths[1:3], "--config.seed=1", "x"]
    assert last_of_each(["run", *depths[:3], "--config.seed=1", "x"]) == (left, {})


def test_none_can_be_typed_where_a_key_may_be_none():
    examples = ["--config.importance.examples=None", "--config.importance.examples", "None"]
    for words in (examples[:1], examples[1:], ["--config.importance.examples=5", *examples[1:]]):
        assert read("digits", [*words, "WORKDIR"])[0].importance.examples is None
    assert read("digits", [*examples, "--config.importance.examples=5"])[0].importance.examples == 5
    assert read("digits", ["--config.source=None"])[0].source is None
    with pytest.raises(UserError, match="seed"):
        read("digits", ["--config.seed=None"])


def test_config_files_of_one_process_are_apart(tmp_path):
    (tmp_path / "one.py").write_text("from jaxstage.config import default as get_config\n")
    (tmp_path / "two.py").write_text("x = 1\n")
    read(str(tmp_path / "one.py"), [])
    with pytest.raises(UserError, match="two.py has no function get_config"):
        read(str(tmp_path / "two.py"), [])
