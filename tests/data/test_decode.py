"""Decoding against Pillow's own full decode, and images that are no images."""

import io

import numpy as np
import PIL.Image
import pytest

from jaxstage.data.decode import MISSING, TRUNCATED, UNDECODABLE, Broken, decode, random_box
from jaxstage.data.pictures import fitting_box

SIZE = 64


def photograph(width=400, height=300):
    y, x = np.mgrid[:height, :width] / 40
    return np.stack([127 + 120 * np.sin(x + y), 127 + 120 * np.cos(x), 127 + 120 * np.sin(2 * y)], -1).astype(np.uint8)


def compressed(pixels, kind="JPEG", **options):
    data = io.BytesIO()
    PIL.Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("decoder", ["pillow", "opencv"])
def test_a_reduced_decode_looks_like_the_full_one(decoder):
    if decoder == "opencv":
        pytest.importorskip("cv2", reason="OpenCV is optional")
    data, box = compressed(photograph(), quality=95), (50, 20, 350, 280)
    full = PIL.Image.open(io.BytesIO(data)).resize((SIZE, SIZE), PIL.Image.Resampling.BILINEAR, box=box)
    ours = decode(data, (SIZE, SIZE), 3, lambda *_: box, decoder)
    assert ours.shape == (SIZE, SIZE, 3) and ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - np.asarray(full)).mean() < 4


def test_an_image_of_the_right_size_is_left_alone():
    pixels = photograph(SIZE, SIZE)
    box_of = lambda width, height: fitting_box(width, height, (SIZE, SIZE))
    assert np.array_equal(decode(compressed(pixels, "PNG"), (SIZE, SIZE), 3, box_of), pixels)
    assert np.array_equal(decode(pixels, (SIZE, SIZE), 3, box_of), pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_colour_mode_comes_out_with_the_channels_asked_for(mode, channels):
    image = PIL.Image.fromarray(photograph()).convert(mode)
    data = io.BytesIO()
    image.save(data, "PNG" if mode in ("RGBA", "P") else "JPEG")
    assert decode(data.getvalue(), (SIZE, SIZE), channels, lambda w, h: (0, 0, w, h)).shape == (SIZE, SIZE, channels)


def test_what_is_broken_is_told_apart():
    whole = compressed(photograph())
    half = whole[: len(whole) // 2]
    for data, status in {b"": MISSING, half: TRUNCATED, b"<html>not found</html>": UNDECODABLE}.items():
        for decoder in ("pillow", "opencv"):
            with pytest.raises(Broken) as error:
                decode(data, (SIZE, SIZE), 3, lambda w, h: (0, 0, w, h), decoder)
            assert error.value.status == status


def test_random_crops_have_the_area_and_the_ratio_asked_for():
    random, shares = np.random.default_rng(0), []
    for _ in range(500):
        left, top, right, bottom = random_box(500, 375, (32, 32), (0.08, 1.0), random)
        assert 0 <= left < right <= 500 and 0 <= top < bottom <= 375
        assert 0.73 < (right - left) / (bottom - top) < 1.36
        shares.append((right - left) * (bottom - top) / (500 * 375))
        left, top, right, bottom = random_box(500, 375, (20, 40), (0.08, 0.5), random)
        assert 0 <= left < right <= 500 and 0 <= top < bottom <= 375
        assert 2 * 0.73 < (right - left) / (bottom - top) < 2 * 1.36
    assert min(shares) > 0.07 and max(shares) > 0.8 and 0.35 < np.mean(shares) < 0.6
