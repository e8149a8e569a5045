"""A folder of pictures that a config names, data.folder: prepared as a set when a run first meets it."""

import hashlib
import os
import pathlib
import re
import sys
import tempfile

from jaxstage.config import Config
from jaxstage.data.prepare import prepare_folder
from jaxstage.data.prepare.folder import find
from jaxstage.data.sources import sets_dir
from jaxstage.files import explaining_a_failed_write, local, there

LONGEST = 40  # letters of a folder's name in its set's


def prepared(config: Config) -> Config:
    """The config with data.name in place of data.folder, whose pictures are prepared if they are not there yet.

    The set's name tells the pictures by their paths, sizes and times, so a folder that changed becomes another set, and
    a run on the old one cannot go on with the new one unseen.

    Args:
      config: of a run; unchanged.

    Raises:
      UserError: there is no such folder, it has no such layout, or the set cannot be written.
    """
    config = config.copy_and_resolve_references()
    folder, data_dir = local(config.data.folder, "config.data.folder"), sets_dir(config.data.dir)
    config.data.name, config.data.folder = name_of(folder), None
    if there(pathlib.Path(data_dir) / config.data.name):
        print(f"{folder}: prepared before as {config.data.name} in {data_dir}", file=sys.stderr)
    else:
        with explaining_a_failed_write(f"writing the pictures of {folder} into {data_dir}"):
            _prepare(config.data.name, folder, pathlib.Path(data_dir))
    return config


def _prepare(name: str, folder: pathlib.Path, data_dir: pathlib.Path) -> None:
    """Writes a set in one move: it is there whole or not at all."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir, prefix=f".{name}.") as unfinished:
        prepare_folder(name, folder, unfinished)
        os.rename(pathlib.Path(unfinished) / name, data_dir / name)


def name_of(folder: pathlib.Path) -> str:
    """A name for the set of a folder's pictures: the folder's own, as far as a set can have it, and a digest."""
    digest = hashlib.sha256()
    for picture in find(folder).pictures:
        about = os.stat(folder / picture.path)
        digest.update(repr((*picture, about.st_size, about.st_mtime_ns)).encode())
    own = re.sub(r"[^a-z0-9]+", "_", folder.absolute().name.lower()).strip("_")[:LONGEST]
    return f"pictures_{own}_{digest.hexdigest()[:8]}" if own else f"pictures_{digest.hexdigest()[:8]}"
