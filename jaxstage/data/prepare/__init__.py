"""Prepares a data set as array_record, the format that training reads.

`python -m jaxstage.data.prepare` is the same as `jaxstage prepare`.
"""

import contextlib
import pathlib
import sys

import PIL.Image

from jaxstage.data import skipped
from jaxstage.data.decode import FORMATS, PILLOWS, Broken, decode
from jaxstage.errors import UserError, first_line, is_disk_full
from jaxstage.files import in_one_line, local

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
SUFFIXES = (".jpg", ".jpeg", ".png")


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
    """Writes a folder of images, SPLIT/CLASS/**/IMAGE, as a set; arguments, result and errors as of `prepare_tfds`.

    The result has `left_out` besides, the number of images that do not decode.
    """
    folder, data_dir = local(folder, "--folder"), str(local(data_dir, "--data_dir"))
    if not name.isidentifier() or not name.islower():
        raise UserError(f"{name!r} is no name for a set: use small letters, digits and _")
    there = local(f"{data_dir}/{name}", "NAME")
    if there.exists() and not (there.is_dir() and not any(there.iterdir())):  # it is empty after a failure
        raise UserError(f"{data_dir} has a set {name!r} already: choose another name, or delete it first")
    files = find_images(folder)
    classes = sorted({path.parts[1] for paths in files.values() for path in paths})
    broken = []
    try:
        builder = _builder(name, classes, files, folder, data_dir, broken)
        builder.download_and_prepare()  # shows its progress
    except Exception as error:  # TFDS passes on whatever the file system makes of it
        if is_disk_full(error):
            raise
        raise UserError(
            _why_not(files, name, folder, broken)
            or f"{name!r} cannot be prepared in {data_dir} ({first_line(error)}): choose another --data_dir, or mend that"
        ) from error
    for image in broken:
        print(f"{image['image']} is left out: {image['why']}", file=sys.stderr)
    skipped.add(pathlib.Path(builder.data_path) / skipped.LEFT_OUT, broken)
    return _result(builder, name, data_dir) | {"left_out": len(broken)}


def _why_not(files: dict, name: str, folder: pathlib.Path, broken: list[dict]) -> str | None:
    """What to say where a set cannot be written because all images of a split are broken."""
    for split, paths in files.items():
        of_split = [image for image in broken if image["split"] == f"{name}/{split}"]
        if len(of_split) == len(paths):
            image, why = of_split[0]["image"], of_split[0]["why"]
            return f"none of the {len(paths)} images for {split} in {folder} can be used ({image}: {why}): replace them"
    return None


def find_images(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The images of each split, relative to the folder, in order.

    Raises:
      UserError: there are none.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: check the name")
    files = {}
    for directory, split in SPLITS.items():
        found = sorted(
            path.relative_to(folder) for path in (folder / directory).glob("*/**/*") if path.suffix.lower() in SUFFIXES
        )
        for path in found:
            if not in_one_line(str(path)) or path.parts[1] != path.parts[1].strip():
                raise UserError(
                    f"{str(path)!r} in {folder}: a class begins or ends with a blank, or a name has control characters or is "
                    "not in UTF-8: rename it"
                )
        if found:
            files[split] = files.get(split, []) + found
    if "train" not in files:
        raise UserError(f"{folder} has no images in train/CLASS/: put them there, one folder a class")
    return files


def _builder(name, classes, files, folder, data_dir, broken):
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Folder(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=_shape(folder, files)),
                    "label": tfds.features.ClassLabel(names=classes),
                    "file_name": tfds.features.Text(),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split, paths) for split, paths in files.items()}

            def _generate_examples(self, split, paths):
                for path in paths:
                    file = folder / path
                    if reason := unreadable(file):
                        broken.append({"split": f"{name}/{split}", "image": str(path), "why": reason})
                        continue
                    yield str(path), {"image": str(file), "label": path.parts[1], "file_name": str(path)}

    Folder.name = name
    return Folder(data_dir=data_dir, file_format="array_record")


def _shape(folder: pathlib.Path, files: dict) -> tuple[int | None, int | None, int]:
    """The size of all images if it is one, by their headers; else open."""
    sizes = set()
    regular = (path for paths in files.values() for path in paths if (folder / path).is_file())
    for path in regular:
        with contextlib.suppress(*PILLOWS), PIL.Image.open(folder / path, formats=FORMATS) as image:
            sizes.add(image.size)
        if len(sizes) > 1:
            return None, None, 3
    width, height = sizes.pop() if sizes else (None, None)
    return height, width, 3


def unreadable(file: pathlib.Path) -> str | None:
    """Why an image cannot be used, or None."""
    if file.exists() and not file.is_file():  # reading a pipe would wait for ever
        return "not a file"
    try:
        decode(file.read_bytes(), 8, 3, lambda width, height: (0, 0, width, height))
    except (Broken, OSError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def _result(builder, name: str, data_dir: str) -> dict:
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    return {"name": name, "data_dir": data_dir, "splits": splits}
