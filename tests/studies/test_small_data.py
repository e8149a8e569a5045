"""studies/small_data.py: what its arms change, one of each kind on something small, and the words of its table."""

import argparse

import jax
import numpy as np
import pytest

from jaxstage import config as configs
from jaxstage.config import plain
from jaxstage.data import Normalization
from jaxstage.models import build
from jaxstage.workdir import networks
from studies import small_data


@pytest.mark.parametrize("arm", small_data.arms())
def test_every_arm_is_a_config_of_as_many_epochs(arm):
    file, changes = small_data.settings(arm, 7, "runs/source")
    config = configs.load(file, {**small_data.CHANGES, **changes, "data.name": "few_50"})
    configs.validate(config)
    assert config.final.epochs == 7 and config.source == "runs/source"
    assert config.task == "transfer" or config.candidate.epochs == 3
    photos = configs.load("photos")
    assert config.data.image_size == photos.data.image_size and config.data.validation == photos.data.validation
    assert (config.optimizer.learning_rate == photos.optimizer.learning_rate) == (arm != small_data.SCRATCH)


@pytest.fixture
def source(tmp_path):
    """A network of two blocks a stage with random weights, as `jaxstage import` leaves one."""
    config = configs.default()
    config.model.depths, config.model.widths = (2, 2), (4, 8)
    model = plain(config.model)
    variables = build(model, (2, 2), 10).init(jax.random.key(0), np.zeros((1, 16, 16, 3), np.float32), train=False)
    normalization = Normalization(np.full(3, 0.5, np.float32), np.full(3, 0.25, np.float32))
    workdir = tmp_path / "source"
    workdir.mkdir()
    classes = tuple("abcdefghij")
    networks.write(workdir, networks.describe(model, variables, "toys", classes, (16, 16, 3), normalization), variables)
    return workdir


def test_arms_are_really_trained(source, cifar10_dir, compilation_cache, monkeypatch, tmp_path):
    small = {"data.image_size": 16, "data.workers": 0, "batch_size": 16, "compilation_cache": str(compilation_cache)}
    small |= {"candidate.warmup_epochs": 0.0, "final.warmup_epochs": 0.0}
    monkeypatch.setattr(small_data, "TESTED", 2)
    monkeypatch.setattr(small_data, "EPOCHS", {6: 2})
    monkeypatch.setattr(small_data, "CHANGES", small_data.CHANGES | small)
    settings = small_data.settings
    monkeypatch.setattr(small_data, "settings", lambda *of: (settings(*of)[0], settings(*of)[1] | small))
    options = argparse.Namespace(root=tmp_path / "runs", data_dir=cifar10_dir, source=source)
    base, photos = (small_data.train(arm, 6, 0, options) for arm in (small_data.BASE, small_data.PHOTOS))
    assert list(base["depths"]) == [2, 2] and all(1 <= depth <= 2 for depth in photos["depths"])
    assert photos["macs"] <= base["macs"] and 0 < photos["work"]


def test_the_table_compares_seed_by_seed():
    cell = lambda accuracy, macs=10: {"test_accuracy": accuracy, "macs": macs, "work": 2.0 * macs, "depths": [1]}
    accuracies = {"fine-tuned": (0.5, 0.6), "from scratch": (0.3, 0.4), "mixup": (0.5, 0.59)}
    found = {
        f"50 a class, {arm}, seed {seed}": cell(accuracy)
        for arm, both in accuracies.items()
        for seed, accuracy in enumerate(both)
    }
    found |= {f"50 a class, photos, seed {seed}": cell(0.5 + seed / 10, macs=6) for seed in range(2)}
    rows = small_data.verdict(small_data.summarise(found)).splitlines()
    assert [row.split(" | ")[1] for row in rows[2:]] == ["fine-tuned", "from scratch", "photos", "mixup"]
    assert "worse, -20.0" in rows[3] and "same, 0.0" in rows[4] and "| 0.60 | 0.60 |" in rows[4]
