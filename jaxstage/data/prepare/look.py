"""A look at every picture of a set before it is written: whether it can be used, its size, and what it looks like."""

import concurrent.futures
import hashlib
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import rich.console
import rich.progress

from jaxstage.data.decode import Broken, decode
from jaxstage.data.prepare.found import Found, LeftOut, Picture

SMALLEST = 4  # pixels of the shorter side; what has fewer shows nothing
SMALL = 9  # pixels a side of the small picture
FINER = 4  # times as many are decoded and averaged, or it would depend on the size that a JPEG is decoded at


class Seen(NamedTuple):
    """A picture that can be used.

    Attributes:
      picture: which one.
      size: (width, height) in pixels, upright.
      digest: of the file's bytes.
      small: all of the picture in grey, uint8 (SMALL, SMALL).
    """

    picture: Picture
    size: tuple[int, int]
    digest: bytes
    small: np.ndarray


def look(found: Found) -> tuple[list[Seen], list[LeftOut]]:
    """Decodes all pictures, in order, and parts them into those that can be used and the others."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = pool.map(partial(_look_at, read=found.read), found.pictures)
        progress = rich.progress.track(
            seen,
            "looking at the pictures",
            total=len(found.pictures),
            console=rich.console.Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        seen = list(progress)
    return [one for one in seen if isinstance(one, Seen)], [one for one in seen if isinstance(one, LeftOut)]


def _look_at(picture: Picture, read: Callable[[Picture], bytes]) -> Seen | LeftOut:
    sizes = []

    def all_of_it(width, height):
        sizes.append((width, height))
        return 0, 0, width, height

    try:
        data = read(picture)
        pixels = decode(data, (FINER * SMALL,) * 2, 3, all_of_it)
    except (Broken, OSError) as error:
        return LeftOut(picture, getattr(error, "strerror", None) or str(error))
    if min(sizes[0]) < SMALLEST:
        return LeftOut(picture, f"fewer than {SMALLEST} pixels wide or high")
    digest = hashlib.blake2b(data, digest_size=16).digest()
    small = pixels.reshape(SMALL, FINER, SMALL, FINER, 3).mean((1, 3, 4)).astype(np.uint8)
    return Seen(picture, sizes[0], digest, small)
