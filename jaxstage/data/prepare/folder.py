"""Which pictures a folder has, by names alone: CLASS/**/PICTURE, or SPLIT/CLASS/**/PICTURE."""

import os
import pathlib
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import PIL.Image

from jaxstage.data.pictures import FORMATS
from jaxstage.errors import UserError, some
from jaxstage.files import in_one_line

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
SUFFIXES = frozenset(suffix for suffix, kind in PIL.Image.registered_extensions().items() if kind in FORMATS)
OTHER_PICTURES = frozenset((".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd", ".svg"))
OUTSIDE = ""  # label of what lies in no class folder


class Picture(NamedTuple):
    """A picture, or a file that might have been one.

    Attributes:
      path: below the folder.
      split: train, validation or test.
      label: name of its class.
    """

    path: str
    split: str
    label: str


class LeftOut(NamedTuple):
    """A file or folder that does not come into the set, and why not."""

    picture: Picture
    why: str

    @property
    def is_picture(self) -> bool:
        """Whether people would call it a picture."""
        name = pathlib.PurePath(self.picture.path).name
        return _suffix(name) in SUFFIXES | OTHER_PICTURES and not name.startswith(".")


def find(folder: pathlib.Path) -> tuple[list[Picture], list[LeftOut]]:
    """The pictures of a folder, split by split in order of their paths, and what else lies in it.

    Raises:
      UserError: it is of neither kind or of both, or a name cannot be told.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: check the name")
    directories = [entry for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith(".")]
    splits = [directory for directory in directories if directory.name.lower() in SPLITS]
    others = [directory.name for directory in directories if directory not in splits]
    if splits and (classes := [name for name in others if any(_is_picture(file) for file in _files(folder / name))]):
        raise UserError(
            f"{folder} has splits ({some(entry.name for entry in splits)}) and other folders with pictures "
            f"({some(classes)}): move these into the splits, or the splits elsewhere"
        )
    pictures, left_out = [], []
    for place in splits or [folder]:
        split = SPLITS[place.name.lower()] if splits else "train"
        taken, others = _of_split(folder, place, split)
        pictures, left_out = pictures + taken, left_out + others
    if splits:
        left_out += [_outside(folder, "train", entry) for entry in _entries(folder) if entry not in splits]
    if not any(picture.split == "train" for picture in pictures):
        raise UserError(f"{folder} has no images in CLASS/ or train/CLASS/: put them there, one folder a class")
    order = list(dict.fromkeys(SPLITS.values()))
    return sorted(pictures, key=lambda one: (order.index(one.split), pathlib.PurePath(one.path))), left_out


def _of_split(folder: pathlib.Path, place: pathlib.Path, split: str) -> tuple[list[Picture], list[LeftOut]]:
    pictures, left_out = [], []
    loose = [entry for entry in _entries(place) if not entry.is_dir()]
    if found := [entry for entry in loose if _is_picture(entry)]:
        names = some((entry.name for entry in found), 1)
        raise UserError(f"{place} has pictures in no class folder ({names}): move them to {place}/CLASS/")
    for directory in _entries(place):
        if directory in loose or directory.name.startswith("."):
            left_out.append(_outside(folder, split, directory))
            continue
        label, before = unicodedata.normalize("NFC", directory.name), len(pictures)
        for file in _files(directory):
            picture = Picture(str(file.relative_to(folder)), split, label)
            if why := _why_not(file):
                left_out.append(LeftOut(picture, why))
            else:
                pictures.append(_nameable(picture, folder))
        if len(pictures) == before and not any(one.is_picture for one in left_out if one.picture.label == label):
            left_out.append(_outside(folder, split, directory, "a folder without pictures"))
    return pictures, left_out


def _outside(folder: pathlib.Path, split: str, entry: pathlib.Path, why: str = "in no class folder") -> LeftOut:
    """What belongs to no class."""
    picture = Picture(str(entry.relative_to(folder)), split, OUTSIDE)
    return LeftOut(picture, "hidden" if entry.name.startswith(".") else why)


def _nameable(picture: Picture, folder: pathlib.Path) -> Picture:
    if not in_one_line(picture.path) or picture.label != picture.label.strip():
        raise UserError(
            f"{picture.path!r} in {folder}: a class begins or ends with a blank, or a name has control characters or is "
            "not in UTF-8: rename it"
        )
    return picture


def _why_not(file: pathlib.Path) -> str | None:
    """Why a file is not taken, by its name, or None."""
    suffix = _suffix(file.name)
    if file.name.startswith("."):
        return "hidden"
    if file.is_dir():
        return "a link to a folder, which is not followed"
    if suffix in OTHER_PICTURES:
        return f"{suffix} cannot be read, convert it to JPEG or PNG"
    return None if suffix in SUFFIXES else f"not a picture by its name ({suffix or 'no suffix'})"


def _is_picture(file: pathlib.Path) -> bool:
    return _why_not(file) is None


def _suffix(name: str) -> str:
    return pathlib.PurePath(name).suffix.lower()


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        _raise(error)


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """All files below a folder, with the hidden folders and the links to folders, into which nobody looks."""
    for root, directories, files in os.walk(folder, onerror=_raise):
        here = pathlib.Path(root)
        closed = [name for name in directories if name.startswith(".") or (here / name).is_symlink()]
        directories[:] = sorted(set(directories) - set(closed))
        yield from (here / name for name in sorted(files + closed))


def _raise(error: OSError):
    raise UserError(f"{error.filename} cannot be read ({error.strerror}): change its rights or move it away") from error
