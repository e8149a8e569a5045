import jax
import numpy as np

from jaxstage.importance import Trained, random, uniform


def trained(name, depths):
    return Trained(name, None, None, depths, None, None)


def test_uniform_always_rises_in_the_probe():
    before, after = uniform(trained("a", (1, 5, 3)), None), uniform(trained("b", (2, 6, 4)), None)
    assert np.all(after.values > before.values) and not np.any(after.errors)


def test_random_is_by_key_and_candidate():
    key, other = jax.random.key(0), jax.random.key(1)
    scores = random(trained("a", (1, 1, 1)), key)
    assert scores == random(trained("a", (1, 1, 1)), key)
    assert scores != random(trained("b", (1, 1, 1)), key)
    assert scores != random(trained("a", (1, 1, 1)), other)
    assert len(set(scores.samples[0])) == 3
