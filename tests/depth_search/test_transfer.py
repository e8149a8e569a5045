"""Transfer: what is inherited, what is new, what each mode moves, and a run from end to end."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import result_of
from ml_collections import ConfigDict

import jaxstage
from jaxstage import config as configs
from jaxstage.data import Normalization
from jaxstage.depth_search import transfer
from jaxstage.errors import UserError
from jaxstage.models import resnet
from jaxstage.models.stem import stem_for
from jaxstage.train.state import init_state, make_optimizer
from jaxstage.train.step import Batch, Recipe, make_train_step

CLASSES = tuple("abcd")
OPTIMIZER = ConfigDict(
    dict(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, decay_head=True, clip=None)
)


def state_of(stem="cifar", classes=4, channels=3, depths=(2, 1), seed=0, optimizer=optax.identity()):
    module = resnet(depths, num_classes=classes, widths=(4, 8), stem=stem)
    return module, init_state(module, optimizer, (16, 16, channels), jax.random.key(seed))


def source_of(state, classes=CLASSES, **model):
    metadata = {
        "class_names": list(classes),
        "data": "toys",
        "depths": [2, 1],
        "input_shape": [32, 32, 3],
        "weights_sha256": "1",
        "model": {"family": "resnet", "widths": [4, 8], "depths": [2, 1], **model},
    }
    return transfer.Source("runs/toys", state.variables, metadata)


@pytest.mark.parametrize(
    "target, classes, new",
    [
        ({}, CLASSES, {}),
        ({}, tuple("abcx"), {"head": "the same number of classes, but different ones"}),
        ({"classes": 7}, tuple("abcdefg"), {"head": "4 classes there, 7 here"}),
        ({"stem": "cifar_stride2"}, CLASSES, {}),  # the same parameters
        (
            {"stem": "imagenet"},
            CLASSES,
            dict.fromkeys(("stem_conv", "stem_norm"), "another stem: kernel (3, 3, 3, 4) there, (7, 7, 3, 4) here"),
        ),
        (
            {"channels": 1},
            CLASSES,
            dict.fromkeys(("stem_conv", "stem_norm"), "another stem: kernel (3, 3, 3, 4) there, (3, 3, 1, 4) here"),
        ),
        ({"depths": (3, 1)}, CLASSES, {"stage1_block03": "the source has no such part"}),
    ],
)
def test_what_matches_is_inherited_and_the_rest_is_named_with_its_reason(target, classes, new):
    _, theirs = state_of()
    _, ours = state_of(seed=1, **target)
    source = source_of(theirs)
    matched = transfer.match(ours.variables, source, classes)
    assert matched.new == new and matched.unused == ()
    loaded = transfer.load(ours, source, matched)
    for name in ours.params:
        expected = ours.params[name] if name in new else theirs.params[name]
        jax.tree.map(np.testing.assert_array_equal, loaded.params[name], expected)
    assert any(str(why) in line for why in new.values() for line in transfer.summary(source, matched)) or not new


def step_by(mode):
    """The parameters before and after a step in a mode, and the batch statistics."""
    module, ours = state_of(seed=1)
    source = source_of(state_of()[1])
    matched = transfer.match(ours.variables, source, tuple("wxyz"))
    rates = None if mode == "scratch" else transfer.rates(ours.params, matched, mode, rate=0.1)
    optimizer = make_optimizer(OPTIMIZER, rates)
    before = transfer.load(ours, source, matched).replace(opt_state=optimizer.init(ours.params))
    step = make_train_step(
        module, optimizer, Normalization(np.float32(0.5), np.float32(0.25)), Recipe(head_only=mode == "head")
    )
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    batch = Batch(jnp.array(images), jnp.arange(8, dtype=jnp.int32) % 4, jnp.arange(8, dtype=jnp.int32))
    after, _ = jax.jit(step)(before, batch, 0.1, jax.random.key(0))
    moved = jax.tree.map(lambda a, b: a - b, after.params, before.params)
    return moved, jax.tree.map(lambda a, b: a - b, after.batch_stats, before.batch_stats)


def test_the_rates_of_the_modes():
    full, _ = step_by("scratch")
    tenth, stats = step_by("finetune")
    for name in full:
        rate = 1.0 if name == "head" else 0.1
        expected = jax.tree.map(lambda leaf: rate * leaf, full[name])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7), tenth[name], expected)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(stats))


def test_rates_fall_from_stage_to_stage_and_the_new_parts_have_the_full_one():
    _, ours = state_of(stem="imagenet", seed=1)
    matched = transfer.match(ours.variables, source_of(state_of()[1]), tuple("wxyz"))
    rates = transfer.rates(ours.params, matched, "finetune", rate=0.1, layer_decay=0.5)
    expected = {"head": 1.0, "stage2_block01": 0.1, "stage1_block01": 0.05, "stage1_block02": 0.05}
    expected |= {"stem_conv": 1.0, "stem_norm": 1.0}  # another stem
    assert {part: set(jax.tree.leaves(rates[part])) for part in rates} == {part: {r} for part, r in expected.items()}
    _, same = state_of(seed=1)
    matched = transfer.match(same.variables, source_of(state_of()[1]), CLASSES)
    rates = transfer.rates(same.params, matched, "finetune", rate=0.1, layer_decay=0.5)
    assert set(jax.tree.leaves(rates["stem_conv"])) == {0.025} and set(jax.tree.leaves(rates["head"])) == {0.1}


@pytest.mark.parametrize("stem, held", [("cifar", 5), ("imagenet", 3)])
def test_what_is_new_and_the_head_are_trained_first(stem, held):
    """An inherited head, too: its classes are the same, its features are not."""
    _, ours = state_of(stem=stem, seed=1)
    found = transfer.held(ours.params, transfer.match(ours.variables, source_of(state_of()[1]), CLASSES))
    parts = {part for part in found if all(jax.tree.leaves(found[part]))}
    assert len(parts) == held and {part for part in found if any(jax.tree.leaves(found[part]))} == parts
    assert "head" not in parts and {"stage1_block01", "stage2_block01"} <= parts


def test_statistics_that_are_inherited_are_frozen_and_those_of_another_stem_are_not():
    _, ours = state_of(stem="imagenet", seed=1)
    norms = transfer.inherited_norms(transfer.match(ours.variables, source_of(state_of()[1]), CLASSES))
    assert ("stage1_block01", "norm1") in norms and ("stem_norm",) not in norms


def test_head_only_moves_nothing_else():
    moved, stats = step_by("head")
    assert np.any(moved.pop("head")["kernel"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((moved, stats)))


def test_head_only_refuses_another_stem():
    _, ours = state_of(stem="imagenet", seed=1)
    matched = transfer.match(ours.variables, source_of(state_of()[1]), CLASSES)
    with pytest.raises(UserError, match="transfer.mode='head'.*stem_conv.*config.model.stem"):
        transfer.rates(ours.params, matched, "head", 0.1)


def test_the_model_is_the_sources_and_the_stem_follows_the_resolution():
    config = configs.default()
    config.task, config.source, config.model.stem = "transfer", "runs/toys", "auto"
    settled = transfer.resolve(config, source_of(state_of()[1], conv_bias=True), (64, 64, 3))
    assert (settled.model.depths, settled.model.widths, settled.model.conv_bias) == ((2, 1), (4, 8), True)
    assert settled.model.stem == "cifar_stride2" and config.model.stem == "auto"
    assert [stem_for(size) for size in (16, 32, 64, 96, 224)] == [
        "cifar",
        "cifar",
        "cifar_stride2",
        "cifar_stride2",
        "imagenet",
    ]


def test_at_a_like_resolution_the_stem_is_the_sources():
    config = configs.default()
    config.task, config.source, config.model.stem = "transfer", "runs/toys", "auto"
    source = source_of(state_of()[1], family="mobilenet", stem="cifar_stride2", kernel=[3, 5], strides=[1, 2])
    source.metadata["input_shape"] = [224, 224, 3]
    stems = [transfer.resolve(config, source, (size, size, 3)).model.stem for size in (32, 64, 160, 224)]
    assert stems == ["cifar", "cifar_stride2", "cifar_stride2", "cifar_stride2"]
    settled = transfer.resolve(config, source, (224, 224, 3))
    assert (settled.model.kernel, settled.model.strides, settled.model.expansion) == ((3, 5), (1, 2), 3)


def test_limits_of_depths_are_those_of_the_sources_stages():
    config = configs.default()
    config.task, config.source, config.growth.max_depth = "search", "runs/toys", (3, 3)
    configs.validate(config)
    source = source_of(state_of()[1])
    assert transfer.resolve(config, source, (32, 32, 3)).growth.max_depth == (3, 3)
    config.growth.max_depth = (3, 3, 3)
    with pytest.raises(UserError, match="config.growth.max_depth=.*for each of the 2 stages"):
        transfer.resolve(config, source, (32, 32, 3))


def test_other_weights_than_at_the_beginning_are_refused(tmp_path):
    _, state = state_of()
    source = source_of(state)
    matched = transfer.match(state.variables, source, CLASSES)
    transfer.write(tmp_path, source, matched, pytest.fail)
    transfer.write(tmp_path, source, matched, pytest.fail)
    with pytest.raises(UserError, match="has other weights than when"):
        transfer.write(
            tmp_path, source._replace(metadata={**source.metadata, "weights_sha256": "2"}), matched, pytest.fail
        )


@pytest.fixture(scope="module")
def source_run(tmp_path_factory, compilation_cache, tiny_search):
    """A small network trained on the digits."""
    from conftest import run_program

    workdir = tmp_path_factory.mktemp("source") / "run"
    result_of(run_program(compilation_cache, *tiny_search, "--config.task=train", f"--workdir={workdir}"))
    return workdir


def flags(source_run, toy_tfds, workdir, *more):
    return (
        "--config=configs/transfer.py",
        f"--config.source={source_run}",
        "--config.data.name=toy",
        f"--config.data.dir={toy_tfds}",
        "--config.batch_size=16",
        "--config.final.epochs=3",
        f"--workdir={workdir}",
        "--config.importance.examples=30",
        "--config.data.crop_padding=2",
        *more,
    )


def test_from_digits_to_a_colour_set_of_twice_the_size(program, source_run, toy_tfds, tmp_path):
    process = program(*flags(source_run, toy_tfds, tmp_path / "run"))
    result = result_of(process)
    assert result["depths"] == [1, 1] and result["source"] == str(source_run)
    for text in ("new: head (10 classes there, 3 here)", "kernel (3, 3, 1, 4) there, (3, 3, 3, 4) here"):
        assert text in process.stdout
    told = json.loads((tmp_path / "run" / "transfer.json").read_text())
    assert set(told["new"]) == {"head", "stem_conv", "stem_norm"}
    assert "params/stage1_block01/conv1/kernel" in told["inherited"]
    assert jaxstage.load(tmp_path / "run")[2]["num_classes"] == 3


def test_training_goes_on_from_the_final_weights(program, source_run, tmp_path):
    """Of the network in the source, whatever depths the config has, at a tiny rate: the weights stay nearly the same."""
    more = ("--config.task=train", "--config.final.epochs=1", "--config.optimizer.learning_rate=1e-9")
    run = tmp_path / "run"
    process = program("--config=configs/digits.py", f"--config.source={source_run}", *more, f"--workdir={run}")
    result = result_of(process)
    assert result["depths"] == [1, 1] and "search ends" not in process.stdout
    before, after = (jaxstage.load(where).variables["params"] for where in (source_run, run))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-6), before, after))


def test_growth_goes_on_at_the_target(program, source_run, toy_tfds, tmp_path):
    more = (
        "--config.task=search",
        "--config.candidate.epochs=1",
        "--config.growth.max_rounds=1",
        "--config.growth.step=1",
        "--config.importance.method=uniform",
    )
    result = result_of(program(*flags(source_run, toy_tfds, tmp_path / "run", *more)))
    assert result["depths"] == [2, 2]
    record = json.loads((tmp_path / "run" / "search.json").read_text())
    assert [c["parent"] for c in record["candidates"]] == ["source", "r00_start", "r01_probe"]


@pytest.mark.parametrize(
    "more, text",
    [
        (("--config.source=nowhere",), "nowhere holds no finished run"),
        (("--config.task=train", "--config.model.depths=(3,1)"), "config.model.depths=(3, 1) has 2 stages but"),
        (("--config.transfer.mode=head",), "keep the source's stem"),
        (("--config.transfer.mode=head", "--config.task=search"), "a search grows more than the head"),
    ],
)
def test_mistakes_are_one_line(program, source_run, toy_tfds, tmp_path, more, text):
    process = program(*flags(source_run, toy_tfds, tmp_path / "run", *more))
    assert process.returncode == 1 and process.stderr.startswith("error: ") and process.stderr.count("\n") == 1
    assert text in process.stderr and not (tmp_path / "run" / "final").exists()
