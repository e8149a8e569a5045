import jax
import jax.numpy as jnp
import pytest

from jaxstage.models import block_name, parse_block, resnet


def variables_of(module, shape=(1, 32, 32, 3)):
    return jax.eval_shape(lambda x: module.init(jax.random.key(0), x), jax.ShapeDtypeStruct(shape, jnp.float32))


@pytest.mark.parametrize("stage, block", [(0, 0), (1, 6), (11, 120)])
def test_names_can_be_read_back(stage, block):
    assert parse_block(block_name(stage, block)) == (stage, block)


def test_names_say_stage_and_block():
    names = variables_of(resnet((1, 2), num_classes=10, widths=(4, 8)))["params"].keys()
    assert names == {"stem_conv", "stem_norm", "stage1_block01", "stage2_block01", "stage2_block02", "head"}
    assert parse_block("stem_conv") is None


@pytest.mark.parametrize("block, widening", [("basic", 1), ("bottleneck", 4)])
def test_each_later_stage_halves_the_resolution(block, widening):
    module = resnet((1, 2, 1, 1), num_classes=7, widths=(4, 8, 6, 5), block=block)
    images = jnp.zeros((2, 32, 32, 3))
    logits, captured = module.apply(
        module.init(jax.random.key(0), images), images, capture_intermediates=True, mutable=["intermediates"]
    )
    shapes = {name: out["__call__"][0].shape for name, out in captured["intermediates"].items() if "stage" in name}
    assert shapes["stage1_block01"] == (2, 32, 32, 4 * widening)
    assert shapes["stage2_block02"] == (2, 16, 16, 8 * widening)
    assert shapes["stage4_block01"] == (2, 4, 4, 5 * widening)
    assert logits.shape == (2, 7)


def test_imagenet_stem_reduces_fourfold():
    module = resnet((1,), num_classes=2, widths=(4,), stem="imagenet")
    images = jnp.zeros((1, 64, 64, 3))
    _, captured = module.apply(
        module.init(jax.random.key(0), images), images, capture_intermediates=True, mutable=["intermediates"]
    )
    assert captured["intermediates"]["stage1_block01"]["__call__"][0].shape == (1, 16, 16, 4)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32():
    module = resnet((1,), num_classes=10, widths=(4,), dtype="bfloat16")
    variables = module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    logits, captured = module.apply(
        variables, jnp.ones((1, 8, 8, 3)), capture_intermediates=True, mutable=["intermediates"]
    )
    assert captured["intermediates"]["stage1_block01"]["__call__"][0].dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize("convolutions", ["xla", "native"])
@pytest.mark.parametrize("size", [32, 33])
def test_padding_moves_what_a_strided_convolution_looks_at(size, convolutions):
    """Of the 3x3 stem's first pixel: with half a window on each side it is the image's rows -1, 0, 1; with SAME and an
    even size rows 0, 1, 2."""
    images = jnp.zeros((1, size, size, 3)).at[:, 0].set(1.0)
    lit = {}
    for padding in ("same", "torch"):
        module = resnet(
            (1,), num_classes=2, widths=(4,), stem="cifar_stride2", padding=padding, convolutions=convolutions
        )
        variables = module.init(jax.random.key(0), images)
        middle = jnp.zeros((3, 3, 3, 4)).at[1].set(1.0)
        variables["params"]["stem_conv"]["kernel"] = middle
        _, captured = module.apply(variables, images, capture_intermediates=True, mutable=["intermediates"])
        lit[padding] = bool(captured["intermediates"]["stem_conv"]["__call__"][0][0, 0, 1, 0] > 0)
    assert lit == {"same": size % 2 == 1, "torch": True}


@pytest.mark.parametrize("depths, widths", [((), ()), ((1, 0), (4, 8)), ((1,), (4, 8))])
def test_impossible_depths_are_refused(depths, widths):
    with pytest.raises(ValueError, match="depths"):
        resnet(depths, num_classes=10, widths=widths)
