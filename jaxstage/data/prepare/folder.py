"""Which pictures a folder has, by names alone: CLASS/**/PICTURE, or SPLIT/CLASS/**/PICTURE."""

import glob
import os
import pathlib
from collections.abc import Iterator
from functools import partial

from jaxstage.data.prepare.found import (
    OTHER_PICTURES,
    OUTSIDE,
    SPLITS,
    SUFFIXES,
    Found,
    LeftOut,
    Picture,
    by_split,
    file_of,
    label_of,
    nameable,
    suffix_of,
    unreadable,
)
from jaxstage.errors import UserError, some


def find(folder: pathlib.Path) -> Found:
    """The pictures of a folder, split by split in order of their paths, and what else lies in it.

    Raises:
      UserError: it is of neither kind or of both, has one class only, or a name cannot be told.
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
    _require_classes(
        folder, {one.label for one in pictures} | {one.picture.label for one in left_out if one.is_picture}
    )
    return Found(str(folder), by_split(pictures), left_out, partial(file_of, folder=folder))


def _require_classes(folder: pathlib.Path, labels: set[str]) -> None:
    labels = labels - {OUTSIDE}
    if len(labels) < 2:
        (label,) = labels
        hint = (
            f", as {folder / label}" if any(entry.is_dir() for entry in folder.glob(f"{glob.escape(label)}/*")) else ""
        )
        raise UserError(f"{folder} has only one class, {label!r}: give a folder that has a folder for each class{hint}")


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
        label, before = label_of(directory.name), len(pictures)
        for file in _files(directory):
            picture = Picture(str(file.relative_to(folder)), split, label)
            if why := _why_not(file):
                left_out.append(_left_out(picture, why))
            else:
                pictures.append(nameable(picture, folder))
        if len(pictures) == before and not any(one.is_picture for one in left_out if one.picture.label == label):
            left_out.append(_outside(folder, split, directory, "a folder without pictures"))
    return pictures, left_out


def _outside(folder: pathlib.Path, split: str, entry: pathlib.Path, why: str = "in no class folder") -> LeftOut:
    """What belongs to no class."""
    picture = Picture(str(entry.relative_to(folder)), split, OUTSIDE)
    return _left_out(picture, "hidden" if entry.name.startswith(".") else why)


def _left_out(picture: Picture, why: str) -> LeftOut:
    name = pathlib.PurePath(picture.path).name
    return LeftOut(picture, why, suffix_of(name) in SUFFIXES | OTHER_PICTURES and not name.startswith("."))


def _why_not(file: pathlib.Path) -> str | None:
    """Why a file is not taken, by its name, or None."""
    if file.name.startswith("."):
        return "hidden"
    if file.is_dir():
        return "a link to a folder, which is not followed"
    if why := unreadable(file.name):
        return why
    suffix = suffix_of(file.name)
    return None if suffix in SUFFIXES else f"not a picture by its name ({suffix or 'no suffix'})"


def _is_picture(file: pathlib.Path) -> bool:
    return _why_not(file) is None


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
