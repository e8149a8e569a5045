import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from jaxstage.data import Normalization
from jaxstage.data.augment import Augmentation, augment, crop_and_flip, erase, mix, normalize

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


FILL = np.float32([300, 400, 500])  # no pixel has that


def rectangle(mask) -> tuple[int, int] | None:
    """(height, width) of what is True, if that is one full rectangle."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (len(rows), len(columns)) if inside.all() else None


def test_erasing_takes_rectangles_of_the_papers_sizes_from_as_many_images_as_asked_for():
    images = jnp.array(np.random.default_rng(0).integers(1, 256, (500, 20, 30, 3), np.uint8))
    erased = np.asarray(erase(images, jax.random.split(jax.random.key(1), 500), 0.4, FILL))
    gone = (erased == FILL).all(-1)
    np.testing.assert_array_equal(erased[~gone], np.asarray(images, np.float32)[~gone])
    assert 160 < gone.any((1, 2)).sum() < 240  # 200, with a deviation of 11
    sizes = np.array([rectangle(mask) for mask in gone if mask.any()])
    shares, ratios = sizes.prod(1) / 600, sizes[:, 0] / sizes[:, 1]
    assert 0.01 < shares.min() < 0.04 and 0.28 < shares.max() < 0.36  # 0.02 to 0.33, but for rounding
    assert ratios.min() > 0.2 and ratios.max() < 5 and np.median(ratios) == pytest.approx(1, abs=0.25)
    corners = [np.argwhere(mask)[[0, -1]] for mask in gone if mask.any()]
    assert np.min(corners) == 0 and np.max(corners, axis=(0, 1)).tolist() == [19, 29]  # up to all borders
    assert np.array_equal(erase(images, jax.random.split(KEYS[0], 500), 0.0, FILL), images)
    assert (np.asarray(erase(images, jax.random.split(KEYS[0], 500), 1.0, FILL)) == FILL).any((1, 2, 3)).all()


def test_mixup_blends_two_neighbours_each_by_its_own_share():
    mixed, own = map(np.asarray, mix(IMAGES, KEYS, 0.3, 0.0))
    partner = IMAGES[np.arange(64) ^ 1].astype(np.float32)
    share = own[:, None, None, None]
    np.testing.assert_allclose(mixed, share * IMAGES + (1 - share) * partner, rtol=1e-5)
    assert len(set(own.tolist())) == 64 and own.min() >= 0 and own.max() <= 1


def test_shares_are_drawn_from_the_beta_distribution():
    """Kolmogorov and Smirnov's test against SciPy's distribution."""
    keys, images = jax.random.split(jax.random.key(2), 2000), np.zeros((2000, 1, 1, 1), np.uint8)
    for alpha in (0.2, 1.0, 3.0):
        _, own = mix(images, keys, alpha, 0.0)
        assert kstest(np.asarray(own), beta(alpha, alpha).cdf).pvalue > 1e-3


def test_cutmix_pastes_a_rectangle_of_the_neighbour_and_counts_its_pixels():
    dark, bright = np.zeros((20, 30, 1), np.uint8), np.full((20, 30, 1), 200, np.uint8)
    images = np.stack([dark, bright] * 150)
    mixed, own = map(np.asarray, mix(images, jax.random.split(jax.random.key(3), 300), 0.0, 1.0))
    foreign = (mixed != images)[..., 0]
    np.testing.assert_allclose(own, 1 - foreign.mean((1, 2)), rtol=1e-5, atol=1e-6)
    assert all(rectangle(mask) for mask in foreign if mask.any())
    assert set(np.unique(mixed)) == {0, 200} and 0.5 < own.mean() < 0.8  # what sticks out of the image is not pasted


def test_with_both_every_image_is_mixed_by_one_of_them():
    mixed, own = mix(IMAGES, KEYS, 1.0, 1.0)
    ways = [mix(IMAGES, KEYS, 1.0, 0.0), mix(IMAGES, KEYS, 0.0, 1.0)]
    same = [[np.array_equal(mixed[n], way[0][n]) and own[n] == way[1][n] for n in range(64)] for way in ways]
    assert np.all(np.array(same).any(0)) and 16 < sum(same[0]) < 48


def test_who_has_no_neighbour_that_counts_stays_alone():
    weight = np.array([1, 0, 1, 1, 0, 0] * 10 + [1], np.float32)
    images, keys = IMAGES[:61], KEYS[:61]
    mixed, own = map(np.asarray, mix(images, keys, 0.3, 1.0, weight))
    alone = np.array([True, False, False, False, True, True] * 10 + [True])
    np.testing.assert_allclose(mixed[alone], images[alone], rtol=1e-6)
    assert (own[alone][:-1] == 1).all() and np.any(own[[2, 3]] != 1)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([(0.5, 0.0, 0.0), (0.0, 0.4, 0.0), (0.3, 0.0, 1.0), (0.5, 0.2, 1.0)]), st.integers(0, 2**31 - 1))
def test_what_is_done_to_an_image_depends_on_its_key_and_its_neighbour_alone(switches, seed):
    """So a batch may be cut anywhere between pairs; all pixels stay between those of the two images and the mean."""
    erasing, mixup, cutmix = switches
    how = Augmentation(2, True, erasing, mixup, cutmix)
    normalization = Normalization(np.float32([0.4, 0.5, 0.6]), np.float32(0.25))
    keys = jax.random.split(jax.random.key(seed), 16)
    whole, own = augment(IMAGES[:16], keys, how, normalization)
    part, own_part = augment(IMAGES[4:10], keys[4:10], how, normalization)
    np.testing.assert_allclose(part, whole[4:10], rtol=1e-5)
    assert (own is None) == (own_part is None) == (not how.mixes)
    if own is not None:
        np.testing.assert_allclose(own_part, own[4:10], rtol=1e-6)
    assert np.min(whole) >= 0 and np.max(whole) <= 255
