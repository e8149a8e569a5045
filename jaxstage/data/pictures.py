"""How pixels get in: any picture that Pillow opens, as people see it, brought to the size that a network takes.

Upright, without transparency, in 8 bits, and in the ratio of that size by cutting, padding or stretching. A JPEG is
decoded at 1/2, 1/4 or 1/8 of its size where that still has at least the pixels asked for: the decoder leaves the high
frequencies out, and most of the time of a full-size photograph with them.

Training, evaluation, `jaxstage.predict` and exports read pictures by this file. It needs NumPy and Pillow alone, for it
is a part of every export as it is.
"""

import math
import os

import numpy as np
import PIL.Image
from PIL.ExifTags import Base
from PIL.Image import Transpose

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # of EPS Pillow would start Ghostscript
MODES = {1: "L", 3: "RGB"}  # of Pillow, by channels
CROP, PAD, STRETCH = "crop", "pad", "stretch"  # how a picture gets the ratio of the network's input
CENTRE_SHARE = (
    0.875  # of the shorter side, that evaluation looks at; of an input that is not square, of the side that fits
)

TURNS = {  # by the value of EXIF's Orientation
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
ON_THEIR_SIDE = tuple(TURNS[value] for value in (5, 6, 7, 8))
WHITES = (1, 255, 65535)  # values that numbers without a range of their own may mean by white


def read(path: str | os.PathLike, architecture: dict) -> np.ndarray:
    """A picture as a network takes it.

    Example:
      read("daisy.jpg", json.loads(open("architecture.json").read()))

    Args:
      path: of the file; of a network that takes other channels than pictures have, .npy, uint8 (height, width, channels).
      architecture: what architecture.json says of the network.

    Returns:
      Pixels uint8 (height, width, channels).
    """
    height, width, channels = architecture["input_shape"]
    if channels not in MODES:
        return of_pixels(np.load(path), (height, width), architecture.get("fit", CROP))
    with PIL.Image.open(path, formats=FORMATS) as image:
        turn = turn_of(image)
        box = fitting_box(*size_of(image, turn), (height, width), architecture.get("fit", CROP))
        return part_of(image, turn, box, (height, width), MODES[channels])


def of_pixels(pixels: np.ndarray, size: tuple[int, int], fit: str = CROP) -> np.ndarray:
    """Pixels uint8 (height, width, channels) of any number of channels, brought to a size each by itself."""
    box = fitting_box(pixels.shape[1], pixels.shape[0], size, fit)
    return each_channel(pixels, box, size)


def each_channel(pixels: np.ndarray, box: tuple, size: tuple[int, int]) -> np.ndarray:
    """The same of a part of them, see `part_of`."""
    planes = (PIL.Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(pixels, -1, 0))
    return np.concatenate([part_of(plane, None, box, size, MODES[1]) for plane in planes], axis=-1)


def centre_box(width: int, height: int, size: tuple[int, int], share: float) -> tuple:
    """The largest centred part in the ratio of `size`, (height, width), made smaller by `share`: (left, top, right, bottom)."""
    if width * size[0] <= height * size[1]:
        w, h = share * width, share * width * size[0] / size[1]
    else:
        w, h = share * height * size[1] / size[0], share * height
    w, h = min(max(round(w), 1), width), min(max(round(h), 1), height)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def fitting_box(width: int, height: int, size: tuple[int, int], fit: str = CROP) -> tuple:
    """The part of an image that evaluation looks at, (left, top, right, bottom).

    Args:
      width, height: of the image, in pixels.
      size: (height, width) that the network takes.
      fit: crop: the usual centre, or the whole image where it has the size already; pad: a part around all of it, so
        that it goes beyond the image; stretch: all of it.
    """
    if fit == STRETCH:
        return 0, 0, width, height
    if fit == PAD:
        w, h = max(width, height * size[1] / size[0]), max(height, width * size[0] / size[1])
        left, top = (width - w) / 2, (height - h) / 2
        return left, top, left + w, top + h
    return centre_box(width, height, size, 1.0 if (height, width) == tuple(size) else CENTRE_SHARE)


def part_of(image: PIL.Image.Image, turn: Transpose | None, box: tuple, size: tuple[int, int], mode: str) -> np.ndarray:
    """A part of an image, resized; black beyond its borders.

    Args:
      image: opened.
      turn: see `turn_of`.
      box: (left, top, right, bottom) of the upright image.
      size: (height, width) of the result.
      mode: RGB or L.

    Returns:
      Pixels uint8 (height, width, channels).
    """
    width, height = size_of(image, turn)
    shrink = min((box[2] - box[0]) / size[1], (box[3] - box[1]) / size[0])
    if image.format == "JPEG" and shrink >= 2:
        image.draft(mode, (math.ceil(image.width / shrink), math.ceil(image.height / shrink)))
    image = upright(in_mode(image, mode), turn)
    box = scaled(box, image.width / width, image.height / height)
    inner, place = within(box, image.width, image.height, size)
    page_size = (size[1], size[0])  # as Pillow has it
    if image.size != page_size or box != (0, 0, *page_size):
        target = (place[2] - place[0], place[3] - place[1])
        image = image.resize(target, PIL.Image.Resampling.BILINEAR, box=inner)
    if image.size != page_size:
        page = PIL.Image.new(mode, page_size)
        page.paste(image, place[:2])
        image = page
    return np.asarray(image).reshape(*size, -1)


def scaled(box: tuple, x: float, y: float) -> tuple:
    """The box in an image that is x times as wide and y times as high."""
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def within(box: tuple, width: int, height: int, size: tuple[int, int]) -> tuple[tuple, tuple[int, int, int, int]]:
    """The part of a box that an image has, and its place in the result, both (left, top, right, bottom)."""
    inner = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    place = []
    for axis, pixels in enumerate((size[1], size[0])):
        low, high, start, end = inner[axis], inner[axis + 2], box[axis], box[axis + 2]
        first = min(round((low - start) * pixels / (end - start)), pixels - 1)
        place.append((first, max(round((high - start) * pixels / (end - start)), first + 1)))
    (left, right), (top, bottom) = place
    return inner, (left, top, right, bottom)


def turn_of(image: PIL.Image.Image) -> Transpose | None:
    """How an opened image has to be turned to be upright, or None; a camera held on its side only notes that it was.

    Anything but a JPEG is loaded for it: only then a PNG has told everything, and TIFFs are turned by Pillow itself.
    """
    if image.format not in ("JPEG", "MPO"):
        image.load()
    try:
        return TURNS.get(image.getexif().get(Base.Orientation))
    except Exception:  # damaged notes do not damage the picture, and Pillow fails at them in many ways
        return None


def size_of(image: PIL.Image.Image, turn: Transpose | None) -> tuple[int, int]:
    """(width, height) of an image after its turn."""
    width, height = image.size
    return (height, width) if turn in ON_THEIR_SIDE else (width, height)


def upright(image: PIL.Image.Image, turn: Transpose | None) -> PIL.Image.Image:
    """The image, turned."""
    return image if turn is None else image.transpose(turn)


def in_mode(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    """An image of any mode as RGB or L, with 8 bits a channel; as it is if it is that already.

    What is transparent becomes white, the page that such pictures are drawn for; what lies below, mostly black, nobody
    was meant to see. 16 bits are scaled to 8. Of floats, and of whole numbers of 32 bits, no file says which one is white:
    the first of 1 (floats only), 255 and 65535 that none exceeds; if none is, or some are negative, their largest.

    Args:
      image: opened, or made from an array; of several frames the first.
      mode: RGB or L.
    """
    if image.mode[0] in "IF":
        image = _grey(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        page = PIL.Image.new("RGB", image.size, "white")
        page.paste(image, mask=image)
        image = page
    return image.convert(mode) if image.mode != mode else image


def _grey(image: PIL.Image.Image) -> PIL.Image.Image:
    """L, of one channel of 16 or 32 bits."""
    values = np.asarray(image)
    whole, float_values = values.dtype.kind in "iu", np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low, high = float(float_values.min()), float(float_values.max())
    if values.dtype.itemsize == 2 or image.format in ("PNG", "PPM"):  # Pillow's I of these has 16 bits
        white = 65535
    else:
        white = next((value for value in WHITES[whole:] if low >= 0 and high <= value), None)
    if white is None:
        float_values, white = float_values - low, max(high - low, np.finfo(np.float32).tiny)
    return PIL.Image.fromarray(np.rint(float_values * (255 / white)).astype(np.uint8))
