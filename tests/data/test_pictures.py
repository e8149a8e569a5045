"""Pictures of every kind that Pillow opens come out as people see them: hand-made ones, of which we know how they look."""

import io

import numpy as np
import PIL.Image
import pytest

from jaxstage.data.decode import decode, whole
from jaxstage.data.pictures import fitting_box, in_mode, read

RED, GREEN, BLUE, WHITE, BLACK, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3, (128,) * 3
CORNERS = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)  # tells every turn from every other
TURNED = {  # where each pixel of the upright picture lies in the file, by the standard's words on the tag
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, 1),  # the camera's top is the picture's right
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, -1),
}


def compressed(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def corners(height, width):
    """An upright picture with a colour in every quarter."""
    return CORNERS.repeat(height // 2, 0).repeat(width // 2, 1)


def with_orientation(pixels, orientation, kind, **options):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file_pixels = np.ascontiguousarray(TURNED[orientation](pixels) if orientation in TURNED else pixels)
    return compressed(PIL.Image.fromarray(file_pixels), kind, exif=exif.tobytes(), **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("decoder", ["pillow", "opencv"])
def test_pictures_are_upright_whatever_the_camera_noted(kind, decoder):
    if decoder == "opencv":
        pytest.importorskip("cv2", reason="OpenCV is optional")
    upright, options = corners(96, 160), {"lossless": True} if kind == "WEBP" else {}
    seen = []

    def left_half(width, height):
        seen.append((width, height))
        return 0, 0, width // 2, height

    for orientation in TURNED:
        data = with_orientation(upright, orientation, kind, **options)
        for size in (96, 32, 8):  # of a JPEG at 8 an eighth of the pixels is decoded
            found = decode(data, (size, size), 3, left_half, decoder)[:, : size // 2].astype(int)
            assert np.abs(found[: size // 4] - RED).max() < 16 and np.abs(found[-size // 4 :] - BLUE).max() < 16
        assert np.abs(whole(data, 3).astype(int) - upright).mean() < 3
    assert set(seen) == {(160, 96)}


@pytest.mark.parametrize("orientation", [0, 9, 200])
def test_a_note_that_means_nothing_changes_nothing(orientation):
    assert np.array_equal(whole(with_orientation(corners(16, 24), orientation, "PNG"), 3), corners(16, 24))
    plain = compressed(PIL.Image.fromarray(corners(16, 24)), "JPEG")
    damaged = compressed(PIL.Image.fromarray(corners(16, 24)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")
    assert np.array_equal(whole(damaged, 3), whole(plain, 3))


def palette(transparent: bool):
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putdata([0, 1])
    return compressed(image, "PNG", **({"transparency": 1} if transparent else {}))


def pixels_of(kind, *rows, dtype=np.uint8, mode=None, **options):
    """A picture of one row."""
    array = np.array([rows], dtype)
    image = PIL.Image.fromarray(array) if mode is None else PIL.Image.fromarray(array).convert(mode)
    return compressed(image, kind, **options)


def moving():
    first, second = PIL.Image.new("RGB", (2, 1), RED), PIL.Image.new("RGB", (2, 1), BLUE)
    return compressed(first, "GIF", save_all=True, append_images=[second])


def cmyk(kind):
    image = PIL.Image.new("CMYK", (2, 1), (0, 255, 255, 0))
    image.putpixel((1, 0), (0, 0, 0, 127))
    return compressed(image, kind, **({"quality": 100} if kind == "JPEG" else {}))


def mode(name, *values, kind="TIFF"):
    image = PIL.Image.new(name, (len(values), 1))
    image.putdata(values)
    return compressed(image, kind)


KINDS = {
    "RGB": (pixels_of("PNG", RED, GREY), (RED, GREY)),
    "L": (pixels_of("PNG", 0, 128), (BLACK, GREY)),
    "bits": (pixels_of("PNG", 0, 255, mode="1"), (BLACK, WHITE)),
    "RGBA opaque and not": (pixels_of("PNG", (*RED, 255), (0, 0, 0, 0)), (RED, WHITE)),
    "RGBA half": (pixels_of("PNG", (*RED, 128), (0, 0, 0, 127)), ((255, 127, 127), GREY)),
    "RGBA WebP": (pixels_of("WEBP", (*RED, 255), (0, 0, 0, 0), lossless=True), (RED, WHITE)),
    "LA": (pixels_of("PNG", (*GREY, 255), (0, 0, 0, 0), mode="LA"), (GREY, WHITE)),
    "RGB with a transparent colour": (pixels_of("PNG", RED, BLACK, transparency=BLACK), (RED, WHITE)),
    "L with a transparent grey": (pixels_of("PNG", 128, 0, transparency=0), (GREY, WHITE)),
    "bits with a transparent one": (pixels_of("PNG", 255, 0, mode="1", transparency=0), (WHITE, WHITE)),
    "palette": (palette(False), (RED, GREEN)),
    "palette with a transparent colour": (palette(True), (RED, WHITE)),
    "GIF of two": (moving(), (RED, RED)),
    "CMYK JPEG": (cmyk("JPEG"), (RED, GREY)),
    "CMYK TIFF": (cmyk("TIFF"), (RED, GREY)),
    "16 bits PNG": (pixels_of("PNG", 0x8080, 0xFFFF, dtype=np.uint16), (GREY, WHITE)),
    "16 bits, dark": (pixels_of("PNG", 0, 0x8080, dtype=np.uint16), (BLACK, GREY)),
    "16 bits, nearly black": (pixels_of("PNG", 0, 200, dtype=np.uint16), (BLACK, (1, 1, 1))),
    "16 bits TIFF": (pixels_of("TIFF", 0x8080, 0xFFFF, dtype=np.uint16), (GREY, WHITE)),
    "16 bits TIFF, most significant first": (mode("I;16B", 0x8080, 0xFFFF), (GREY, WHITE)),
    "16 bits PGM": (b"P5 2 1 65535\n\x80\x80\xff\xff", (GREY, WHITE)),
    "16 bits PGM, dark": (b"P5 2 1 65535\n\x00\x00\x80\x80", (BLACK, GREY)),
    "16 bits JPEG 2000": (pixels_of("JPEG2000", 0x8080, 0xFFFF, dtype=np.uint16), (GREY, WHITE)),
    "32 bits": (pixels_of("TIFF", 128, 255, dtype=np.int32), (GREY, WHITE)),
    "32 bits, large": (pixels_of("TIFF", -(10**9), 10**9, dtype=np.int32), (BLACK, WHITE)),
    "floats to 1": (pixels_of("TIFF", 0.5, 1.0, dtype=np.float32), (GREY, WHITE)),
    "floats to 255": (pixels_of("TIFF", 128.0, 2.0, dtype=np.float32), (GREY, (2, 2, 2))),
    "floats of anything": (pixels_of("TIFF", -3.0, 5.0, dtype=np.float32), (BLACK, WHITE)),
    "floats that are none": (pixels_of("TIFF", np.nan, 1.0, dtype=np.float32), (BLACK, WHITE)),
    "floats, all 0": (pixels_of("TIFF", 0.0, 0.0, dtype=np.float32), (BLACK, BLACK)),
    "BMP": (pixels_of("BMP", RED, GREY), (RED, GREY)),
    "PPM": (b"P6 2 1 255\n\xff\0\0\x80\x80\x80", (RED, GREY)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_looks_as_it_was_made(kind):
    data, wanted = KINDS[kind]
    lossy = 2 if "JPEG" in kind else 0
    found = whole(data, 3).astype(int)
    assert found.shape == (1, 2, 3) and np.abs(found[0] - wanted).max() <= lossy
    grey = np.asarray(PIL.Image.fromarray(np.array([wanted], np.uint8)).convert("L"), int)
    assert np.abs(whole(data, 1)[..., 0] - grey).max() <= lossy
    large = decode(data, (16, 16), 3, lambda width, height: (0, 0, width, height)).astype(int)
    assert np.abs(large[:, [0, -1]] - wanted).max() <= lossy


@pytest.mark.parametrize("decoder", ["pillow", "opencv"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_becomes_square_in_three_ways(kind, decoder, tmp_path):
    if decoder == "opencv":
        pytest.importorskip("cv2", reason="OpenCV is optional")
    upright = corners(240, 480)  # twice as wide as high
    (tmp_path / "phone").write_bytes(with_orientation(upright, 8, kind))
    for fit in ("crop", "pad", "stretch"):
        box_of = lambda width, height, fit=fit: fitting_box(width, height, (32, 32), fit)
        found = decode((tmp_path / "phone").read_bytes(), (32, 32), 3, box_of, decoder).astype(int)
        quarter = 8 if fit == "pad" else 0  # above and below all of a padded picture is black
        assert not found[:quarter].any() and not found[32 - quarter :].any()
        seen = found[quarter : 32 - quarter]
        rows = (1, len(seen) - 2)
        assert np.abs(seen[rows, :][:, (1, 30)] - CORNERS).max() < 12
        if decoder == "pillow":
            architecture = {"input_shape": [32, 32, 3], "fit": fit}
            assert np.array_equal(read(tmp_path / "phone", architecture), found)
    assert fitting_box(480, 240, (32, 32), "crop") == (135, 15, 345, 225)


@pytest.mark.parametrize("decoder", ["pillow", "opencv"])
def test_a_picture_gets_the_ratio_of_an_input_that_is_not_square(decoder, tmp_path):
    """240 x 480 to 48 x 64: what is cut off at the sides, what is black above and below."""
    if decoder == "opencv":
        pytest.importorskip("cv2", reason="OpenCV is optional")
    (tmp_path / "phone").write_bytes(with_orientation(corners(240, 480), 8, "JPEG"))
    boxes = {"crop": (100, 15, 380, 225), "pad": (0, -60, 480, 300), "stretch": (0, 0, 480, 240)}
    for fit, box in boxes.items():
        assert fitting_box(480, 240, (48, 64), fit) == box
        data = (tmp_path / "phone").read_bytes()
        found = decode(
            data, (48, 64), 3, lambda width, height, fit=fit: fitting_box(width, height, (48, 64), fit), decoder
        )
        assert found.shape == (48, 64, 3)
        border = 8 if fit == "pad" else 0
        assert not found[:border].any() and not found[48 - border :].any()
        rows = (border + 1, 46 - border)
        assert np.abs(found[rows, :][:, (1, 62)].astype(int) - CORNERS).max() < 12
        if decoder == "pillow":
            assert np.array_equal(read(tmp_path / "phone", {"input_shape": [48, 64, 3], "fit": fit}), found)
    for width, height in ((640, 480), (480, 640), (1, 900), (900, 1)):  # never beyond the picture, never nothing
        left, top, right, bottom = fitting_box(width, height, (48, 64))
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert fitting_box(64, 48, (48, 64)) == (0, 0, 64, 48)


def test_a_network_of_one_channel_and_a_picture_of_its_size():
    data = compressed(PIL.Image.fromarray(corners(32, 32)), "PNG")
    architecture = {"input_shape": [32, 32, 1]}
    found = [read(io.BytesIO(data), architecture | {"fit": fit}) for fit in ("crop", "pad", "stretch")]
    assert all(np.array_equal(one, whole(data, 1)) for one in found)


def test_pixels_in_memory_with_an_opacity_are_like_those_of_a_file():
    pixels = np.zeros((4, 4, 4), np.uint8)
    assert (decode(pixels, (4, 4), 3, lambda width, height: (0, 0, width, height)) == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_what_needs_nothing_is_left_as_it_is(mode):
    image = PIL.Image.fromarray(corners(16, 24)).convert(mode)
    assert in_mode(image, mode) is image
