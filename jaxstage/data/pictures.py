"""Any picture that Pillow opens, as people see it: upright, without transparency, in 8 bits.

No JAX here: worker processes import this file.
"""

import numpy as np
import PIL.Image
from PIL.ExifTags import Base
from PIL.Image import Transpose

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
