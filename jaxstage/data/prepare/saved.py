"""Which pictures a data set has that Hugging Face's `datasets` saved on disk; nothing of it is run, nothing downloaded."""

import contextlib
import importlib.util
import pathlib
from typing import Any

from jaxstage.data.prepare.found import OUTSIDE, SPLITS, Found, LeftOut, Picture, file_of
from jaxstage.data.prepare.table import LABELS, Columns, column, gather, read_as
from jaxstage.errors import UserError, first_line, some


def find(folder: pathlib.Path, columns: Columns) -> Found:
    """The pictures of a `Dataset` or a `DatasetDict`, called SPLIT/NUMBER, and what is left out.

    Raises:
      UserError: there is none, `datasets` is missing, or no column has pictures or classes.
    """
    if importlib.util.find_spec("datasets") is None:
        raise UserError("--hugging_face needs datasets: pip install 'jaxstage[huggingface]'")
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: check the name")
    import datasets

    with _telling_damage(folder):
        loaded: Any = datasets.load_from_disk(str(folder))
        splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    if columns.split:
        raise UserError(f"--split_column={columns.split}: {folder} has its splits by name: leave it out")
    known = {split: one for split, one in splits.items() if split in SPLITS}
    if "train" not in known:
        raise UserError(f"{folder} has no split 'train', only {some(splits)}: save one")
    chosen = _columns(folder, known["train"].features, columns)
    with _telling_damage(folder):
        rows = {split: _Rows(one, chosen) for split, one in known.items()}
        labels = {split: one.labels() for split, one in rows.items()}
    cells = ((f"{split}/{number}", label, split) for split in rows for number, label in enumerate(labels[split]))
    pictures, left_out = gather(folder, cells)
    left_out += [
        LeftOut(Picture(split, "train", OUTSIDE), "a split that is not for training, validation or the test", False)
        for split in splits.keys() - known.keys()
    ]

    def read(picture: Picture) -> bytes:
        split, _, number = picture.path.rpartition("/")
        return rows[split].bytes(int(number), folder)

    return Found(str(folder), pictures, left_out, read, read_as(folder, chosen))


@contextlib.contextmanager
def _telling_damage(folder: pathlib.Path):
    """Raises UserError where `datasets` fails, which it does in many ways."""
    try:
        yield
    except Exception as error:
        raise UserError(
            f"{folder} cannot be read as a data set ({first_line(error)}): give the folder that save_to_disk has written"
        ) from error


def _columns(folder: pathlib.Path, features: Any, columns: Columns) -> Columns:
    import datasets

    of = lambda kind: [name for name, feature in features.items() if isinstance(feature, kind)]
    images, classes = of(datasets.Image), of(datasets.ClassLabel)
    picture = column(folder, images, columns.picture, images, "--path_column")
    label = column(folder, list(features), columns.label, classes or LABELS, "--label_column")
    return Columns(picture, label)


class _Rows:
    """Pictures as they were compressed, and names of classes, of one split."""

    def __init__(self, split: Any, columns: Columns):
        import datasets

        self._names = getattr(split.features[columns.label], "names", None)
        self._picture, self._label = columns.picture, columns.label
        self._rows = split.with_format(None).cast_column(columns.picture, datasets.Image(decode=False))

    def labels(self) -> list:
        found = list(self._rows.select_columns(self._label)[:][self._label])
        if self._names is None:
            return found
        return [None if label is None or label < 0 else self._names[label] for label in found]  # -1: kept back

    def bytes(self, number: int, folder: pathlib.Path) -> bytes:
        """Of a picture; errors as of `Found.read`."""
        try:
            image = self._rows[number][self._picture]
        except Exception as error:
            raise OSError(0, first_line(error)) from error
        if image is None or image["bytes"] is None and image["path"] is None:
            raise OSError(0, "no picture")
        return image["bytes"] or file_of(Picture(image["path"], "", ""), folder)
