"""Prepares a data set as array_record, the format that training reads.

`python -m jaxstage.data.prepare` is the same as `jaxstage prepare`.
"""

import collections
import io
import pathlib
import sys
from collections.abc import Sequence

from jaxstage.data import labels, skipped
from jaxstage.data.prepare import folder as folders
from jaxstage.data.prepare import saved, table
from jaxstage.data.prepare.duplicates import look_alikes, same_files, test_of
from jaxstage.data.prepare.found import OUTSIDE, Found, LeftOut
from jaxstage.data.prepare.look import Seen, look
from jaxstage.data.prepare.table import Columns
from jaxstage.data.prepare.told import overview, repeated
from jaxstage.errors import UserError, first_line, is_disk_full, printable
from jaxstage.files import local


def prepare_tfds(name: str, data_dir: str) -> dict:
    """Downloads a set of TensorFlow Datasets and writes it.

    Args:
      name: `cifar10`, `imagenet_resized/32x32`.
      data_dir: where sets lie.

    Returns:
      {name, data_dir, splits: {name: examples}}.

    Raises:
      UserError: there is no such set, TensorFlow is needed and missing, or it cannot be downloaded.
    """
    data_dir = str(local(data_dir, "--data_dir"))
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
        builder.download_and_prepare()
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(f"TensorFlow Datasets has no set {name!r}: for images of your own give --folder") from error
    except ImportError as error:
        raise UserError(f"preparing {name!r} needs {error.name}: pip install 'jaxstage[prepare]'") from error
    except Exception as error:  # networks, web servers and archives fail in many ways
        reason = first_line(error)
        raise UserError(f"{name!r} cannot be prepared in {data_dir} ({reason}): see TFDS's catalogue") from error
    return _result(builder, name, data_dir)


def prepare_folder(name: str, folder: str | pathlib.Path, data_dir: str) -> dict:
    """Writes a folder of images, CLASS/**/IMAGE or SPLIT/CLASS/**/IMAGE, as a set.

    Before anything is written it is told, on standard error, how many pictures of each class there are, what was left out
    and why, and what is there twice.

    Example:
      prepare_folder("flowers", "my_photos", "~/tensorflow_datasets")["splits"]  # {"train": 346}

    Args:
      name: of the new set.
      folder: which has the images.
      data_dir: where sets lie.

    Returns:
      {name, data_dir, splits} as of `prepare_tfds`, with {pictures, left_out, why_left_out: {reason: number},
      repeated: {kind: number}} besides, see `duplicates.same_files`.

    Raises:
      UserError: the folder has no such layout, a class has no picture to train on, there is such a set, or it cannot be
        written.
    """
    folder = local(folder, "--folder")
    data_dir = _free_place(name, data_dir)
    return _write(name, data_dir, folders.find(folder))


def prepare_table(name: str, file: str | pathlib.Path, data_dir: str, columns: Columns = Columns()) -> dict:
    """Writes the pictures that a table lists as a set: CSV, TSV or Parquet, a line for each picture.

    Example:
      prepare_table("flowers", "flowers.csv", "~/tensorflow_datasets", Columns(label="species"))

    Args:
      name, data_dir: as of `prepare_folder`, and so what is told and returned.
      file: the table; paths in it are relative to its folder.
      columns: which of its columns say what.

    Raises:
      UserError: it is no such table, no column says what is needed, or as of `prepare_folder`.
    """
    file = local(file, "--table")
    data_dir = _free_place(name, data_dir)
    return _write(name, data_dir, table.find(file, columns))


def prepare_hugging_face(name: str, folder: str | pathlib.Path, data_dir: str, columns: Columns = Columns()) -> dict:
    """Writes what `save_to_disk` of Hugging Face's `datasets` left as a set; nothing of it is run, nothing downloaded.

    Example:
      prepare_hugging_face("beans", "saved_beans", "~/tensorflow_datasets", Columns(picture="image", label="labels"))

    Args:
      name, data_dir: as of `prepare_folder`, and so what is told and returned.
      folder: of one `Dataset`, or of a `DatasetDict`.
      columns: which of its columns say what.

    Raises:
      UserError: there is no such data set, `datasets` is missing, or as of `prepare_folder`.
    """
    folder = local(folder, "--hugging_face")
    data_dir = _free_place(name, data_dir)
    return _write(name, data_dir, saved.find(folder, columns))


def _free_place(name: str, data_dir: str) -> str:
    """The directory of sets; raises UserError where it cannot have one of that name."""
    data_dir = str(local(data_dir, "--data_dir"))
    if not name.isidentifier() or not name.islower():
        raise UserError(f"{name!r} is no name for a set: use small letters, digits and _")
    there = local(f"{data_dir}/{name}", "NAME")
    if there.exists() and not (there.is_dir() and not any(there.iterdir())):  # it is empty after a failure
        raise UserError(f"{data_dir} has a set {name!r} already: choose another name, or delete it first")
    return data_dir


def _write(name: str, data_dir: str, found: Found) -> dict:
    seen, unusable = look(found)
    left_out = found.left_out + unusable
    test = test_of(seen)
    if found.read_as:
        print(printable(found.read_as), file=sys.stderr)
    print(overview(found.where, [one.picture for one in seen], left_out, test), file=sys.stderr)
    _require_classes(found.where, seen, left_out)
    twins = same_files(seen, test) | {f"near_train{'_and_test' if test else ''}": look_alikes(seen, test)}
    if lines := repeated(twins):
        print(lines, file=sys.stderr)
    try:
        builder = _builder(name, seen, found, data_dir)
        builder.download_and_prepare()  # shows its progress
        labels.write(builder, "image", "label")
    except Exception as error:  # TFDS passes on whatever the file system makes of it
        if is_disk_full(error):
            raise
        raise UserError(
            f"{name!r} cannot be prepared in {data_dir} ({first_line(error)}): choose another --data_dir, or mend that"
        ) from error
    noted = ({"split": f"{name}/{one.split}", "image": one.path, "why": why} for one, why, _ in _pictures(left_out))
    skipped.add(pathlib.Path(builder.data_path) / skipped.LEFT_OUT, noted)
    return _result(builder, name, data_dir) | {
        "pictures": len(seen),
        "left_out": len(left_out),
        "why_left_out": dict(collections.Counter(one.why for one in left_out)),
        "repeated": {kind: twin.number for kind, twin in twins.items()},
    }


def _pictures(left_out: Sequence[LeftOut]) -> list[LeftOut]:
    """Those that runs on the set are to name: nobody misses a Thumbs.db."""
    return [one for one in left_out if one.is_picture]


def _require_classes(where: str, seen: Sequence[Seen], left_out: Sequence[LeftOut]) -> None:
    """Raises UserError where a split is lost as a whole, or a class has nothing to train on."""
    lost = _pictures(left_out)
    for split in {one.picture.split for one in lost} - {one.picture.split for one in seen}:
        of_split = [one for one in lost if one.picture.split == split]
        path, why = of_split[0].picture.path, of_split[0].why
        raise UserError(
            f"none of the {len(of_split)} images for {split} in {where} can be used ({path}: {why}): replace them"
        )
    wanted = {one.picture.label for one in (*seen, *lost)} - {OUTSIDE}
    for label in sorted(wanted - {one.picture.label for one in seen if one.picture.split == "train"}):
        of_label = [one for one in lost if one.picture.label == label and one.picture.split == "train"]
        why = f" ({of_label[0].picture.path}: {of_label[0].why})" if of_label else ""
        raise UserError(
            f"class {label!r} of {where} has no picture to train on that can be used{why}: add some, or leave the class out"
        )


def _builder(name: str, seen: Sequence[Seen], found: Found, data_dir: str):
    import tensorflow_datasets as tfds

    splits = collections.defaultdict(list)
    for one in seen:
        splits[one.picture.split].append(one.picture)
    sizes = {one.size for one in seen}
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)  # what is of one size can stay in memory

    with tfds.core.registered.skip_registration():

        class Pictures(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(height, width, 3)),
                    "label": tfds.features.ClassLabel(names=sorted({one.picture.label for one in seen})),
                    "file_name": tfds.features.Text(),
                }
                return tfds.core.DatasetInfo(
                    builder=self,
                    description=labels.DESCRIPTION,
                    features=tfds.features.FeaturesDict(features),
                    supervised_keys=("image", "label"),
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(pictures) for split, pictures in splits.items()}

            def _generate_examples(self, pictures):
                known = set()  # a table may list a picture twice
                for picture in pictures:
                    key = picture.path if picture.path not in known else f"{picture.path}\n{picture.label}"
                    known.add(key)
                    image = io.BytesIO(found.read(picture))
                    yield key, {"image": image, "label": picture.label, "file_name": picture.path}

    Pictures.name = name
    return Pictures(data_dir=data_dir, file_format="array_record")


def _result(builder, name: str, data_dir: str) -> dict:
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    return {"name": name, "data_dir": data_dir, "splits": splits}
