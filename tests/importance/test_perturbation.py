"""The perturbation score against what calculus says it must be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxstage.data import Arrays, Normalization
from jaxstage.importance import Trained, perturbation
from jaxstage.importance.perturbation import filter_noise, make_perturbed_loss
from jaxstage.keys import derive
from jaxstage.models import resnet
from jaxstage.train.loss import cross_entropy

RANDOM = np.random.default_rng(0)
EXAMPLES = 1200
CALIBRATION = Arrays(
    RANDOM.integers(0, 256, (EXAMPLES, 4, 4, 1), np.uint8), RANDOM.integers(0, 3, EXAMPLES).astype(np.int32)
)
NORMALIZATION = Normalization(np.float32(0.5), np.float32(0.25))
KEY = jax.random.key(7)


class TwoStages(nn.Module):
    """Two dense layers, named as if each were a stage of one block."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.Dense(5, name="kernel_holder")(x.reshape(x.shape[0], -1))
        for stage in (1, 2):
            x = Block(name=f"stage{stage}_block01")(x)
        return 4 * x[:, :3]


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(4, name="conv")(x))


def trained(module, depths, calibration=CALIBRATION):
    variables = module.init(jax.random.key(1), jnp.zeros((1, 4, 4, 1)))
    return Trained("c", module, variables, depths, calibration, NORMALIZATION)


def test_small_perturbations_measure_the_curvature():
    """For small sigma, I = sigma^2 / 2 * sum over filters f of |w_f|^2 / fan_in * trace(Hessian_f)."""
    network, sigma = trained(TwoStages(), (1, 1)), 0.02
    images = (CALIBRATION.image / np.float32(255) - 0.5) / 0.25
    labels = network.module.apply(network.variables, images).argmax(-1)  # as if trained: the curvature is far from 0
    network = network._replace(calibration=CALIBRATION._replace(label=labels))

    def loss_of(kernel, name):
        params = dict(network.variables["params"])
        params[name] = {"conv": {**params[name]["conv"], "kernel": kernel}}
        return cross_entropy(network.module.apply({"params": params}, images), labels).mean()

    scores = perturbation(network, KEY, sigma=sigma, shares=400)
    for stage, name in enumerate(["stage1_block01", "stage2_block01"]):
        kernel = network.variables["params"][name]["conv"]["kernel"]
        hessian = jax.hessian(loss_of)(kernel, name)
        traces = jnp.einsum("ifif->f", hessian)
        expected = sigma**2 / 2 * (traces * (kernel**2).sum(0)).sum() / kernel.shape[0]
        assert abs(scores.values[stage] - expected) < 4 * scores.errors[stage]
        assert scores.errors[stage] < 0.2 * abs(expected)


def test_a_sample_is_its_share_of_the_images_under_its_own_draw():
    """By the formula, on a set that seven shares do not divide, for the stage of two."""
    network, sigma, shares = trained(TwoStages(), (1, 1), CALIBRATION.take(slice(40))), 0.1, 7
    params = network.variables["params"]
    scores = perturbation(network, KEY, sigma=sigma, shares=shares)
    assert np.shape(scores.samples) == (7, 2)
    for number in range(shares):
        noise = filter_noise(jax.device_get(params), derive(KEY, "perturbation", number), network.scored)[
            "stage2_block01"
        ]
        images = (network.calibration.image[number:35:7] / np.float32(255) - 0.5) / 0.25

        def loss(factor):
            second = {"conv": {**params["stage2_block01"]["conv"]}}
            second["conv"]["kernel"] += factor * noise["conv"]["kernel"]
            logits = network.module.apply({"params": {**params, "stage2_block01": second}}, images)
            return cross_entropy(logits, network.calibration.label[number:35:7]).mean()

        expected = float((loss(sigma) + loss(-sigma)) / 2 - loss(0))
        assert scores.samples[number][1] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(scores.errors, np.std(scores.samples, axis=0, ddof=1) / np.sqrt(7))


def test_the_error_covers_draws_and_images():
    """Over calibration sets and keys of their own, scores spread as their errors say."""
    sets = [CALIBRATION.take(slice(40 * number, 40 * (number + 1))) for number in range(30)]
    scores = [
        perturbation(trained(TwoStages(), (1, 1), part), jax.random.key(number), sigma=0.1, shares=8)
        for number, part in enumerate(sets)
    ]
    spread = np.std([score.values for score in scores], axis=0, ddof=1)
    error = np.sqrt(np.mean([score.errors**2 for score in scores], axis=0))
    np.testing.assert_allclose(error, spread, rtol=0.4)


def test_noise_of_a_filter_has_sigma_times_its_norm():
    params = {"stage1_block01": {"conv1": {"kernel": 3 * RANDOM.normal(size=(3, 3, 64, 50)).astype(np.float32)}}}
    kernel = params["stage1_block01"]["conv1"]["kernel"]
    noise = filter_noise(params, KEY, (range(1),))["stage1_block01"]["conv1"]["kernel"]
    ratio = np.sqrt((noise**2).sum((0, 1, 2)) / (kernel**2).sum((0, 1, 2)))
    np.testing.assert_allclose(ratio, 1, atol=0.15)
    assert ratio.mean() == pytest.approx(1, abs=0.01)


def test_only_the_named_stages_kernels_are_shaken():
    network = trained(resnet((2, 1), num_classes=3, widths=(4, 8)), (2, 1))

    def shaken(network):
        noise = filter_noise(jax.device_get(network.variables["params"]), KEY, network.scored)
        leaves = jax.tree_util.tree_leaves_with_path(noise)
        return {"/".join(part.key for part in path) for path, leaf in leaves if np.any(leaf)}

    assert shaken(network) == {
        "stage1_block01/conv1/kernel",
        "stage1_block01/conv2/kernel",
        "stage1_block02/conv1/kernel",
        "stage1_block02/conv2/kernel",
        "stage2_block01/conv1/kernel",
        "stage2_block01/conv2/kernel",
        "stage2_block01/shortcut_conv/kernel",
    }
    added = network._replace(added=(1, 0))
    assert shaken(added) == {"stage1_block02/conv1/kernel", "stage1_block02/conv2/kernel"}


def test_a_block_is_shaken_the_same_way_in_every_candidate():
    shallow, deep = (trained(resnet(depths, num_classes=3, widths=(4, 8)), depths) for depths in ((1, 1), (3, 2)))
    noise_of = lambda network: filter_noise(jax.device_get(network.variables["params"]), KEY, network.scored)
    one, other = noise_of(shallow), noise_of(deep)
    for name in ("stage1_block01", "stage2_block01"):
        for conv in ("conv1", "conv2"):  # the same direction, at each network's own scale
            a, b = one[name][conv]["kernel"], other[name][conv]["kernel"]
            ratio = a / b
            np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1, :1, :1], ratio.shape), rtol=1e-3)


def test_all_stages_cost_one_compilation():
    network = trained(resnet((1, 1), num_classes=3, widths=(4, 8)), (1, 1))
    compiled = []
    loss = make_perturbed_loss(network, shares=4)

    @jax.jit
    def counting(*arguments):
        compiled.append(1)
        return loss(*arguments)

    noise = filter_noise(jax.device_get(network.variables["params"]), KEY, network.scored)
    for number, scale in enumerate(([0.1, 0], [0, 0.1], [0, -0.1], [0, 0])):
        counting(network.variables, noise, np.float32(scale), CALIBRATION, number)
    assert len(compiled) == 1
