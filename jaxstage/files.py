"""Files that are there whole or not at all."""
import json
import os
import pathlib

from jaxstage.errors import UserError, is_disk_full


def write_json(path: pathlib.Path, data: dict) -> None:
    """Replaces a JSON file as `write_text` does."""
    write_text(path, json.dumps(data, indent=1))


def write_text(path: pathlib.Path, text: str) -> None:
    """Replaces a file atomically and durably.

    Raises:
      UserError: the disk is full; the old file is untouched.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if not is_disk_full(error):
            raise
        raise UserError(
            f"the disk is full, writing {path} failed: free some space and run the same command again"
        ) from error
    os.replace(temporary, path)
