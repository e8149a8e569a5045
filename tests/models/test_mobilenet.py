"""Inverted-residual networks against the figures of NAS-Bench-Macro, and the forms of their depthwise convolution."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxstage import cost
from jaxstage.models import build, mobilenet
from jaxstage.models.mobilenet import depthwise


def test_counts_of_all_published_networks(nas_bench_macro):
    table = json.loads((nas_bench_macro / "mb3_k3.json").read_text())
    assert len(table) == 18
    for name, published in table.items():
        counted = cost.count(mobilenet(tuple(map(int, name.split(","))), num_classes=10))
        assert (counted.trainable_parameters, counted.macs) == (published["parameters"], published["macs"]), name


def test_depthwise_macs_are_those_of_one_filter_a_channel():
    """By hand, at 8x8: stem 8*8*3*27; block 8*8*3*6 + 4*4*6*9 + 4*4*6*4; head 4*4*4*5 and 5*2."""
    module = mobilenet((1,), num_classes=2, widths=(4,), expansion=2, stem_width=3, head_width=5)
    counted = cost.count(module, (8, 8, 3))
    assert (counted.macs, counted.separable_macs) == (5184 + 1152 + 864 + 384 + 320 + 10, 864)


@pytest.mark.parametrize("padding", ["SAME", [(1, 1), (2, 0)]])
@pytest.mark.parametrize("size, kernel, strides", [(8, 3, 2), (5, 2, 1), (7, 5, 2)])
def test_depthwise_is_a_grouped_convolution(size, kernel, strides, padding):
    x = jax.random.normal(jax.random.key(0), (2, size, size, 6))
    weight = jax.random.normal(jax.random.key(1), (kernel, kernel, 1, 6))

    def values(convolve):
        call = lambda x, weight: convolve(
            x, weight, (strides, strides), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=6
        )
        gradients = jax.grad(lambda *arguments: jnp.sin(call(*arguments)).sum(), argnums=(0, 1))
        return jax.jit(lambda *arguments: (call(*arguments), *gradients(*arguments)))(x, weight)

    for found, wanted in zip(values(depthwise), values(jax.lax.conv_general_dilated)):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stem, first", [("cifar", 16), ("cifar_stride2", 8), ("imagenet", 4)])
def test_every_stage_halves_the_resolution(stem, first):
    options = {"family": "mobilenet", "widths": [4, 6], "kernel": 5, "stem_width": 3, "head_width": 7, "stem": stem}
    module = build({**options, "block": "basic"}, (1, 2), num_classes=5)

    def run(images):
        variables = module.init(jax.random.key(0), images)
        return module.apply(variables, images, capture_intermediates=True, mutable=["intermediates"])

    logits, captured = jax.eval_shape(run, jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32))
    shape = lambda name: captured["intermediates"][name]["__call__"][0].shape
    assert shape("stem_conv")[-1] == 3 and shape("head_conv")[-1] == 7 and logits.shape == (2, 5)
    assert shape("stage1_block01") == (2, first, first, 4)
    assert shape("stage2_block01") == shape("stage2_block02") == (2, first // 2, first // 2, 6)


def test_each_stage_may_have_its_own():
    """By hand: expansion 0 has no first convolution, 2 has one of twice the channels; stride 1 keeps the resolution."""
    options = {"expansion": (0, 2), "kernel": (3, 5), "strides": (1, 2), "activation": "relu6"}
    module = mobilenet((2, 2), num_classes=5, widths=(4, 6), stem_width=4, head_width=7, **options)
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), images)["params"]
    assert "expand" not in shapes["stage1_block01"] and "expand" not in shapes["stage1_block02"]
    assert shapes["stage1_block01"]["depthwise"]["kernel"].shape == (3, 3, 1, 4)
    assert shapes["stage2_block01"]["expand"]["kernel"].shape == (1, 1, 4, 8)
    assert shapes["stage2_block02"]["depthwise"]["kernel"].shape == (5, 5, 1, 12)
    run = lambda x: module.init_with_output(jax.random.key(0), x, capture_intermediates=True)[1]["intermediates"]
    captured = jax.eval_shape(run, images)
    assert captured["stage1_block02"]["__call__"][0].shape == (1, 8, 8, 4)
    assert captured["stage2_block01"]["__call__"][0].shape == (1, 4, 4, 6)


@pytest.mark.parametrize("strides, width, adds", [(1, 4, True), (2, 4, False), (1, 5, False)])
def test_a_shortcut_where_a_block_gives_out_what_it_takes_in(strides, width, adds):
    module = mobilenet((1,), num_classes=2, widths=(width,), stem_width=4, head_width=5, strides=strides)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    variables = module.init(jax.random.key(0), images)
    block = variables["params"]["stage1_block01"]
    block["residual_norm"] = jax.tree.map(jnp.zeros_like, block["residual_norm"])  # no branch, so only what is added
    _, captured = module.apply(variables, images, mutable=["intermediates"])
    assert bool(jnp.any(captured["intermediates"]["stage1_block01"]["block_output"][0])) == adds


def test_numbers_for_other_stages_are_refused():
    with pytest.raises(ValueError, match="for 2 stages"):
        mobilenet((1, 1), num_classes=2, widths=(4, 4), kernel=(3, 5, 3))


@pytest.mark.parametrize("depths, widths", [((), ()), ((1, 0), (4, 8)), ((1,), (4, 8))])
def test_impossible_depths_are_refused(depths, widths):
    with pytest.raises(ValueError, match="depths"):
        mobilenet(depths, num_classes=10, widths=widths)
