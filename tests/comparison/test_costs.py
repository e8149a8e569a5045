"""jaxstage/comparison/costs.py: sums of a few counts are what counting each network gives."""

import pytest

from jaxstage import config as configs
from jaxstage.comparison import costs
from jaxstage.config import plain
from jaxstage.cost import Cost, count
from jaxstage.models import build


@pytest.mark.parametrize(
    "changes",
    [{"model.block": "bottleneck", "model.conv_bias": True}, {"model.family": "mobilenet"}, {"model.family": "nasnet"}],
    ids=["resnet", "mobilenet", "nasnet"],
)
def test_sums_are_counts(changes):
    config = configs.load("digits", {"model.widths": (4, 8), "model.depths": (1, 2), **changes})
    cost_of = costs.counting(config, (8, 8, 1), 10)
    for depths in ((1, 2), (1, 6), (5, 2), (2, 3), (4, 4)):
        assert cost_of(depths) == count(build(plain(config.model), depths, 10), (8, 8, 1)), depths


def test_where_costs_do_not_add_up_each_network_is_counted():
    counted = lambda depths: Cost(0, 0, depths[0] * depths[1])
    assert costs.adding((1, 1), counted)((3, 7)).macs == 21
    asked = []
    adds = costs.adding((1, 1), lambda depths: asked.append(depths) or Cost(depths[0], 0, 2 * depths[0] + depths[1]))
    assert adds((90, 80)) == Cost(90, 0, 260) and (90, 80) not in asked


def test_all_budgets_and_limits_hold():
    of = lambda **changes: configs.load("digits", {f"growth.{key}": value for key, value in changes.items()})
    cost_of = lambda depths: Cost(100 * sum(depths), 0, 10 * sum(depths))
    assert not costs.has_budget(of(max_depth=(4,)))
    assert costs.within(of(max_depth=(4,)), 70, cost_of)((3, 3, 1))
    assert not costs.within(of(max_depth=(4,)), 70, cost_of)((3, 3, 2))
    assert not costs.within(of(max_depth=(4,)), 70, cost_of)((5, 1, 1))
    for budget in ({"max_macs": 50}, {"max_parameters": 500}):
        assert costs.has_budget(of(**budget))
        fits = costs.within(of(**budget), 1, cost_of)  # what a search found is no budget beside the config's own
        assert fits((3, 1, 1)) and not fits((3, 2, 1))
