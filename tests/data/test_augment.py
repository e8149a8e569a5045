import jax
import jax.numpy as jnp
import numpy as np

from jaxstage.data import Normalization
from jaxstage.data.augment import crop_and_flip, normalize

IMAGES = np.random.default_rng(0).integers(1, 256, (64, 8, 8, 3), np.uint8)
KEYS = jax.random.split(jax.random.key(0), 64)


def test_every_result_is_a_shift_and_a_mirror_of_its_image():
    results = np.asarray(crop_and_flip(IMAGES, KEYS, padding=2, flip=True))
    seen = set()
    for image, result in zip(IMAGES, results):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        options = {
            (y, x, mirrored): padded[y : y + 8, x : x + 8][:, ::-1] if mirrored else padded[y : y + 8, x : x + 8]
            for y in range(5)
            for x in range(5)
            for mirrored in (False, True)
        }
        match = [how for how, option in options.items() if np.array_equal(option, result)]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) > 20  # of 50: the draws differ from image to image
    assert {mirrored for *_, mirrored in seen} == {False, True}


def test_off_means_untouched():
    assert np.array_equal(crop_and_flip(IMAGES, KEYS, padding=0, flip=False), IMAGES)


def test_an_image_is_treated_the_same_in_any_batch():
    whole = crop_and_flip(IMAGES, KEYS, padding=2, flip=True)
    assert np.array_equal(crop_and_flip(IMAGES[10:20], KEYS[10:20], padding=2, flip=True), whole[10:20])


def test_normalize_follows_its_formula():
    normalization = Normalization(np.float32([0.1, 0.2, 0.3]), np.float32([0.5, 1, 2]))
    expected = (IMAGES / 255 - normalization.mean) / normalization.std
    np.testing.assert_allclose(normalize(jnp.array(IMAGES), normalization), expected, rtol=1e-5, atol=1e-6)
