"""benchmarks/fidelity.py: a case of the smallest networks, and the score that only exists there."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import agreement
import fidelity

from jaxstage.data import Arrays, Normalization
from jaxstage.importance import Trained
from jaxstage.models import resnet
from jaxstage.train.loss import cross_entropy

STUDY = {
    "config": str(REPOSITORY / "configs" / "digits.py"),
    "changes": {
        "model.depths": (1,),
        "model.widths": (4,),
        "data.validation": 0.5,
        "candidate.epochs": 1,
        "final.epochs": 1,
        "importance.examples": 64,
        "growth.step": 1,
    },
}


def test_a_case_is_trained_and_scored(tmp_path):
    told = fidelity.train(tmp_path, STUDY, (1,), 0)
    assert {name: one["depths"] for name, one in told.items()} == {
        "start": (1,),
        "longer": (1,),
        "probe": (2,),
        "stage1": (2,),
    }
    assert told["longer"]["loss"] < told["start"]["loss"]
    assert (
        fidelity.train(tmp_path, STUDY, (1,), 0)["stage1"]["loss"] == told["stage1"]["loss"]
    )  # nothing is trained anew
    scores = fidelity.score(tmp_path / "ablation", "ablation", STUDY, (1,), 0)
    assert np.shape(scores["ablation"]["before"]) == (8, 1) and scores["ablation, added blocks"]["before"] is None
    # With one stage, switching its new block off and on is the same thing.
    assert scores["one stage active"]["probe"] == scores["ablation, added blocks"]["probe"]
    scores = fidelity.score(tmp_path / "perturbation", "perturbation", STUDY, (1,), 0)
    alone, controlled = scores[agreement.REFERENCE], scores[f"{agreement.REFERENCE}, control"]
    assert controlled["probe"] == alone["probe"] and controlled["before"] != alone["before"]


def test_one_stage_active_is_what_its_new_block_adds_alone():
    depths, size, seen = (2, 3), 16, {}
    build = lambda depths: resnet(depths, num_classes=3, widths=(4, 6))
    variables = build(depths).init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    images = np.random.default_rng(0).integers(0, 256, (size, 8, 8, 3)).astype(np.uint8)
    data = Arrays(images, np.arange(size, dtype=np.int32) % 3)
    for less in ((1, 2), (2, 2), (1, 3)):
        kept = build(less).init(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))
        part = {kind: {name: variables[kind][name] for name in kept[kind]} for kind in kept}
        seen[less] = float(cross_entropy(build(less).apply(part, (images / 255 - 0.5) / 0.25), data.label).mean())
    trained = Trained(
        "any", build(depths), variables, depths, data, Normalization(np.float32(0.5), np.float32(0.25)), (1, 1)
    )
    scores = fidelity.one_stage_active(trained, None, shares=4)
    np.testing.assert_allclose(scores.values, [seen[1, 2] - seen[2, 2], seen[1, 2] - seen[1, 3]], atol=1e-5)
