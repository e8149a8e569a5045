"""Which pictures a table lists: CSV, TSV or Parquet, a row for each picture, with its path and its class."""

import csv
import importlib.util
import io
import math
import os
import pathlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from jaxstage.data.prepare.found import (
    OUTSIDE,
    SPLITS,
    Found,
    LeftOut,
    Picture,
    by_split,
    file_of,
    label_of,
    nameable,
    unreadable,
)
from jaxstage.errors import UserError, brief, first_line, some
from jaxstage.files import read_bytes

PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "img_path")
LABELS = ("label", "labels", "class", "class_name", "category", "target")
PARTS = ("split", "subset", "partition")
MORE_SPLITS = SPLITS | {"training": "train", "testing": "test", "dev": "validation"}
PARQUET = (".parquet", ".pq")


class Columns(NamedTuple):
    """Names of columns; None: the first of the usual names that there is.

    Attributes:
      picture: has paths; of a data set of Hugging Face's pictures.
      label: has classes.
      split: says train, validation or test; without such a column all is for training.
    """

    picture: str | None = None
    label: str | None = None
    split: str | None = None


def find(file: pathlib.Path, columns: Columns) -> Found:
    """The pictures that a table lists, split by split in order of their paths, and the rows that cannot be used.

    Raises:
      UserError: it is no table, a column is missing, or a row is none that can be told.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}: check the name")
    names, rows = _parquet(file) if file.suffix.lower() in PARQUET else _csv(file)
    chosen = Columns(
        column(file, names, columns.picture, PATHS, "--path_column"),
        column(file, names, columns.label, LABELS, "--label_column"),
        column(file, names, columns.split, PARTS, "--split_column", needed=False),
    )
    places = [names.index(name) for name in chosen if name]
    cells = ([row[place] if place < len(row) else None for place in places] for row in rows)
    pictures, left_out = gather(file, cells)
    if not any(os.path.exists(file.parent / one.path) for one in pictures):
        raise UserError(
            f"none of the {len(pictures)} pictures of {file} is there, as {file.parent / pictures[0].path}: give paths "
            "relative to the folder of the table, or another --path_column"
        )
    return Found(str(file), pictures, left_out, partial(file_of, folder=file.parent), read_as(file, chosen))


def gather(where: object, rows: Iterable[Sequence[Any]]) -> tuple[list[Picture], list[LeftOut]]:
    """The pictures of rows, each a path, a class and, in tables that have it, a split; and the rows that are left out.

    Raises:
      UserError: a value cannot be told, is no split, or there are fewer than two classes.
    """
    pictures, left_out = {}, []  # a dict keeps the order, and each of them once
    for number, row in enumerate(rows, 1):
        path, label, *part = (_text(cell, f"{where}, row {number}") for cell in row)
        if part and part[0] and part[0].lower() not in MORE_SPLITS:
            raise UserError(
                f"{where}, row {number}: {part[0]!r} is none of the splits {', '.join(dict.fromkeys(SPLITS.values()))}: "
                "change it, or give another --split_column"
            )
        split = MORE_SPLITS[part[0].lower()] if part and part[0] else "train"
        picture = nameable(Picture(path or f"row {number}", split, label_of(label)), where)
        missing = [
            what for what, given in (("path", path), ("label", label), ("split", not part or part[0])) if not given
        ]
        if missing:
            left_out.append(LeftOut(picture._replace(label=OUTSIDE), f"no {missing[0]}", is_picture=False))
        elif picture in pictures:
            left_out.append(LeftOut(picture, "listed before", is_picture=False))
        elif why := unreadable(path):
            left_out.append(LeftOut(picture, why))
        else:
            pictures[picture] = None
    labels = {one.label for one in pictures} | {one.picture.label for one in left_out if one.is_picture}
    if len(labels) < 2:
        only = f"only one class, {labels.pop()!r}" if labels else "no row with a path and a label"
        raise UserError(f"{where} has {only}: give rows of two classes at least")
    if not any(one.split == "train" for one in pictures):
        raise UserError(f"{where} has no picture for training: add some, or give another --split_column")
    return by_split(pictures), left_out


def column(
    where: object, names: Sequence[str], asked: str | None, usual: Sequence[str], flag: str, needed: bool = True
) -> str | None:
    """The column that was asked for, else the first of the usual names that there is, in small or capital letters.

    Raises:
      UserError: there is none.
    """
    known = {name.lower(): name for name in reversed(names)}
    first = next((known[name.lower()] for name in usual if name.lower() in known), None)
    found = first if asked is None else asked if asked in names else None
    if found is None and (needed or asked):
        wanted = f"column {asked!r}" if asked else f"column of a usual name ({some(usual)})"
        raise UserError(f"{where} has no {wanted}, only {some(map(brief, names), 10)}: name one with {flag}")
    return found


def read_as(where: object, columns: Columns) -> str:
    """Which columns are read, in a line."""
    parts = f", splits in {columns.split!r}" if columns.split else ""
    return f"{where}: pictures in column {columns.picture!r}, classes in {columns.label!r}{parts}"


def _text(value: Any, where: str) -> str:
    """What a cell says, without blanks around it; empty for nothing."""
    if value is None or isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, float) and value.is_integer():  # whole numbers of a column that has gaps
        value = int(value)
    if not isinstance(value, str | int | float):
        raise UserError(f"{where}: {brief(value, 60)} is neither text nor a number: give other columns")
    return str(value).strip()


def _csv(file: pathlib.Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns and the rows, of a table of any of the usual separators."""
    try:
        lines = read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no text in UTF-8 ({error.reason}): save it as CSV in UTF-8") from error
    separator = max(",;\t", key=lines.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        names, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: {error}: mend that line") from error
    return [name.strip() for name in names], rows


def _parquet(file: pathlib.Path) -> tuple[list[str], list[tuple]]:
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{file} needs pyarrow: pip install 'jaxstage[parquet]', or save it as CSV")
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file).read()
    except Exception as error:  # pyarrow fails in many ways
        raise UserError(f"{file} cannot be read as Parquet ({first_line(error)}): save it again") from error
    return table.column_names, list(zip(*(column.to_pylist() for column in table.columns)))
