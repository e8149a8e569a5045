"""From a compressed image to uint8 pixels of one size, cut on the way: with Pillow, or OpenCV where it is installed.

No JAX here: worker processes import this file.
"""

import contextlib
import io
import math

import numpy as np
import PIL.Image

from jaxstage.data.pictures import (
    FORMATS,
    MODES,
    centre_box,
    each_channel,
    in_mode,
    part_of,
    scaled,
    size_of,
    turn_of,
    upright,
    within,
)

RATIOS = (3 / 4, 4 / 3)  # of width to height, of a random crop for a square
CROP_TRIES = 10

PILLOWS = (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError)  # its errors, for what it cannot read

OK, MISSING, TRUNCATED, UNDECODABLE, UNREADABLE = range(5)
REASONS = {
    MISSING: "no data",
    TRUNCATED: "truncated",
    UNDECODABLE: "not decodable",
    UNREADABLE: "its record cannot be read",
}


class Broken(Exception):
    """An image cannot be had; `status` is one of the codes above."""

    def __init__(self, status: int):
        super().__init__(REASONS[status])
        self.status = status


def random_box(
    width: int, height: int, size: tuple[int, int], scale: tuple[float, float], random: np.random.Generator
) -> tuple:
    """A random crop: `scale` of the area, 3/4 to 4/3 of the ratio of `size`, (height, width) (Szegedy et al., CVPR 2015).

    Returns:
      (left, top, right, bottom) in pixels; the largest centred part in that ratio if no draw fits.
    """
    for _ in range(CROP_TRIES):
        area = width * height * random.uniform(*scale)
        ratio = math.exp(random.uniform(*map(math.log, RATIOS))) * (size[1] / size[0])
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(random.integers(width - w + 1)), int(random.integers(height - h + 1))
            return left, top, left + w, top + h
    return centre_box(width, height, size, 1.0)


def decode(
    data: bytes | np.ndarray, size: tuple[int, int], channels: int, box_of, decoder: str = "pillow"
) -> np.ndarray:
    """Pixels of a part of an image, resized; uint8 (height, width, channels).

    Args:
      data: a compressed image, or pixels uint8 (height, width, channels).
      size: (height, width) of the result.
      channels: 1 or 3; of pixels also any other number that they have.
      box_of: (width, height) -> (left, top, right, bottom), the part, of the upright image.
      decoder: pillow or opencv.

    Raises:
      Broken: there is no data, or it does not decode to the end.
    """
    if isinstance(data, np.ndarray):
        if channels not in MODES:
            return each_channel(data, box_of(data.shape[1], data.shape[0]), size)
        image = PIL.Image.fromarray(data[..., 0] if data.shape[-1] == 1 else data)
        return part_of(image, None, box_of(*image.size), size, MODES[channels])
    with _telling_what_is_broken(data):
        image = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
        turn = turn_of(image)
        box = box_of(*size_of(image, turn))
        # An OpenCV that meets the end of the data too early fills up with grey and says nothing: only whole JPEGs.
        if decoder == "opencv" and image.format == "JPEG" and data.rstrip(b"\0").endswith(b"\xff\xd9"):
            return _opencv(data, turn, size_of(image, turn), box, size, channels)
        return part_of(image, turn, box, size, MODES[channels])


def whole(data: bytes, channels: int) -> np.ndarray:
    """All pixels of an image, uint8 (height, width, channels); arguments and errors as of `decode`."""
    with _telling_what_is_broken(data):
        image = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
        turn = turn_of(image)
        pixels = np.asarray(upright(in_mode(image, MODES[channels]), turn))
        return pixels.reshape(*pixels.shape[:2], channels)


@contextlib.contextmanager
def _telling_what_is_broken(data: bytes):
    """Raises Broken where Pillow fails."""
    if not data:
        raise Broken(MISSING)
    try:
        yield
    except PILLOWS as error:
        raise Broken(TRUNCATED if "truncated" in str(error) else UNDECODABLE) from error


def _opencv(data: bytes, turn, upright_size: tuple, box: tuple, size: tuple[int, int], channels: int) -> np.ndarray:
    import cv2

    shrink = min((box[2] - box[0]) / size[1], (box[3] - box[1]) / size[0])
    factor = max(f for f in (1, 2, 4, 8) if f <= max(shrink, 1))
    reduced = "" if factor == 1 else "REDUCED_"
    kind = "COLOR" if channels == 3 else "GRAYSCALE"
    flag = getattr(cv2, f"IMREAD_{reduced}{kind}" + (f"_{factor}" if reduced else ""))
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise Broken(UNDECODABLE)
    if turn is not None:  # by the same notes as with Pillow
        pixels = np.asarray(upright(PIL.Image.fromarray(pixels), turn))
    box = scaled(box, pixels.shape[1] / upright_size[0], pixels.shape[0] / upright_size[1])
    inner, place = within(box, pixels.shape[1], pixels.shape[0], size)
    left, top, right, bottom = map(round, inner)
    pixels = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    smaller = pixels.shape[0] > size[0] and pixels.shape[1] > size[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    pixels = cv2.resize(pixels, (place[2] - place[0], place[3] - place[1]), interpolation=method)
    pixels = cv2.copyMakeBorder(pixels, place[1], size[0] - place[3], place[0], size[1] - place[2], cv2.BORDER_CONSTANT)
    return pixels[..., ::-1] if channels == 3 else pixels[..., None]
