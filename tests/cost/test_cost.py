"""Counts against published figures."""

import pytest

from jaxstage import cost
from jaxstage.models import resnet
from jaxstage.models.resnet import PAPER


@pytest.mark.parametrize(
    "depths, expected",
    [
        ((6, 8, 6), (605_610, 602_634, 92_717_696)),
        ((8, 10, 6), (652_650, 649_290, 111_592_064)),
        ((10, 12, 8), (848_426, 844_170, 139_903_616)),
    ],
)
def test_the_papers_networks(depths, expected):
    """Keras's counts of the authors' own networks."""
    assert cost.count(resnet(depths, num_classes=10, **PAPER), input_shape=(32, 32, 3))[:3] == expected


def test_a_latency_that_nobody_measured_is_not_told():
    counted = cost.count(resnet((1, 1), num_classes=2, widths=(4, 8)), (8, 8, 1))
    assert list(counted.known()) == ["parameters", "trainable_parameters", "macs", "separable_macs"]
    assert counted._replace(latency_ms=2.5).known() == {**counted.known(), "latency_ms": 2.5}


@pytest.mark.parametrize(
    "depths, block, parameters, macs",
    [((2, 2, 2, 2), "basic", 11_689_512, 1.814e9), ((3, 4, 6, 3), "bottleneck", 25_557_032, 4.089e9)],
)
def test_imagenet_networks(depths, block, parameters, macs):
    """torchvision's published sizes of ResNet-18 and ResNet-50."""
    module = resnet(depths, num_classes=1000, widths=(64, 128, 256, 512), block=block, stem="imagenet")
    counted = cost.count(module, (224, 224, 3))
    assert counted.trainable_parameters == parameters
    assert counted.macs == pytest.approx(macs, rel=1e-3)
