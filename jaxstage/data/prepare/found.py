"""What a folder, a table or a saved data set has, by names alone: the pictures, and what else there is."""

import pathlib
import unicodedata
from collections.abc import Callable, Iterable
from typing import NamedTuple

import PIL.Image

from jaxstage.data.pictures import FORMATS
from jaxstage.errors import UserError
from jaxstage.files import in_one_line

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
SUFFIXES = frozenset(suffix for suffix, kind in PIL.Image.registered_extensions().items() if kind in FORMATS)
OTHER_PICTURES = frozenset((".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd", ".svg"))
OUTSIDE = ""  # label of what belongs to no class


class Picture(NamedTuple):
    """A picture, or what might have been one.

    Attributes:
      path: below the folder, or whatever names it for people.
      split: train, validation or test.
      label: name of its class.
    """

    path: str
    split: str
    label: str


class LeftOut(NamedTuple):
    """What does not come into the set, and why not.

    Attributes:
      picture: of a file or folder.
      why: in words.
      is_picture: whether people would miss it, so that runs on the set name it.
    """

    picture: Picture
    why: str
    is_picture: bool = True


class Found(NamedTuple):
    """All that there is to make a set of.

    Attributes:
      where: the folder or file, for people.
      pictures: which may come into the set.
      left_out: the rest.
      read: a picture -> the bytes of its file; raises OSError, with a reason as `strerror`.
      read_as: how it was taken, where people could have meant it otherwise.
    """

    where: str
    pictures: list[Picture]
    left_out: list[LeftOut]
    read: Callable[[Picture], bytes]
    read_as: str = ""


def file_of(picture: Picture, folder: pathlib.Path) -> bytes:
    """What is in the file of a picture; errors as of `Found.read`."""
    file = folder / picture.path
    if file.exists() and not file.is_file():  # reading a pipe would wait for ever
        raise OSError(0, "not a file")
    return file.read_bytes()


def suffix_of(name: str) -> str:
    """In small letters, with its dot."""
    return pathlib.PurePath(name).suffix.lower()


def unreadable(name: str) -> str | None:
    """Why a picture cannot be read, by its name, or None."""
    suffix = suffix_of(name)
    return f"{suffix} cannot be read, convert it to JPEG or PNG" if suffix in OTHER_PICTURES else None


def label_of(text: str) -> str:
    """The one spelling of a class whose name systems write in several."""
    return unicodedata.normalize("NFC", text)


def nameable(picture: Picture, where: object) -> Picture:
    """The picture; raises UserError where its names cannot be told in a line."""
    if not in_one_line(picture.path + picture.label) or picture.label != picture.label.strip():
        raise UserError(
            f"{picture.path!r} in {where}: a class begins or ends with a blank, or a name has control characters or is "
            "not in UTF-8: rename it"
        )
    return picture


def by_split(pictures: Iterable[Picture]) -> list[Picture]:
    """Training pictures first, then those for validation and the test, each in order of their paths."""
    order = list(dict.fromkeys(SPLITS.values()))
    return sorted(pictures, key=lambda one: (order.index(one.split), pathlib.PurePath(one.path)))
