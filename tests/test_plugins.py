"""Families, methods and data sets of one's own; docs/extending.md, which a test runs, has them work together."""

import numpy as np
import pytest

from jaxstage import config as configs
from jaxstage import plugins
from jaxstage.data.sources import from_arrays, open_source
from jaxstage.errors import UserError
from jaxstage.models import build


@pytest.mark.parametrize("name", ["no_such_module:x", "math:no_such_function", ":x", "math:"])
def test_what_cannot_be_imported_is_named(name):
    for find in (plugins.find, lambda name: open_source(name, None), lambda name: build({"family": name}, (1,), 2)):
        with pytest.raises(UserError, match=f"'{name}' cannot be imported"):
            find(name)


def test_a_config_may_name_them_only_where_they_have_a_place():
    config = configs.default()
    config.model.family, config.importance.method, config.data.name = "a:b", "c:d", "e:f"
    configs.validate(config)
    config.inherit.method = "g:h"
    with pytest.raises(UserError, match="config.inherit.method='g:h'"):
        configs.validate(config)


def test_arrays_as_a_data_set():
    images, labels = np.zeros((6, 4, 4, 1), np.uint8), [0, 1, 0, 1, 0, 1]
    source = from_arrays("ab", (images, labels), test=(images[:2], labels[:2]))
    assert (source.splits, source.test_name, source.image_shape) == ({"train": 6, "test": 2}, "test", (4, 4, 1))
    assert source.read("test")[1].dtype == np.int32 and source.records("train")[1][1:] == (1, "1")
    assert from_arrays("ab", (images, labels)).test_name is None
