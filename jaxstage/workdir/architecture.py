"""What architecture.json says of a network, looked at before anything is made of it. JAX is not needed."""

import math
import pathlib
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from jaxstage.config import typed
from jaxstage.config.key import MOST_BLOCKS
from jaxstage.config.keys import KEYS
from jaxstage.config.moved import renewed
from jaxstage.config.validation import check_key, problem_of_stages
from jaxstage.errors import UserError
from jaxstage.files import read_json

FILE = "architecture.json"
LARGEST, MOST_NUMBERS = 1_000_000, 2**26  # of the sizes of a network; of an image


@dataclass(frozen=True)
class _Said:
    """The fields that are made use of; others may be there."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    input_shape: tuple[int, ...]
    num_classes: int
    class_names: tuple[str, ...]
    data: str
    family: str
    model: dict[str, Any]
    normalization: dict[str, Any]
    weights_sha256: str
    parameters: int
    macs: int
    separable_macs: int | None = None
    test_accuracy: float | None = None
    lower: tuple[int, ...] | None = None
    fit: str = "crop"


def read(path: pathlib.Path) -> dict:
    """What an architecture.json says, of whatever version.

    Raises:
      UserError: it cannot be read, is damaged, or describes a network larger than any that we could have written.
    """
    found = read_json(path, _checked, remedy="get the run again")
    if found is None:
        raise UserError(f"there is no {path}: get the run again")
    return found


def _checked(data: Any) -> dict:
    """The fields, renewed; raises one of `jaxstage.files.DAMAGE` if they describe no network of ours."""
    found = renewed(data)
    known = [field for field in fields(_Said) if field.name in found]
    if missing := [field.name for field in fields(_Said) if field.default is MISSING and field not in known]:
        raise ValueError(f"{missing[0]} is missing")
    said = _Said(**{field.name: found[field.name] for field in known})
    if problem := typed.problem(said, _Said) or problem_with(said.model, said.depths):
        raise ValueError(problem)
    _require_whole(said)
    return found


def problem_with(model: dict, depths: Sequence[int]) -> str | None:
    """What no network has of a config's `model` part, a plain dict of any version, at these depths; or None."""
    for name, key in KEYS.items():
        section, _, last = name.rpartition(".")
        if section == "model" and last in model:
            try:
                check_key(name, key, tuple(model[last]) if isinstance(model[last], list) else model[last])
            except UserError as error:
                return str(error)
    widths = model["widths"]
    sizes = [*widths, *(value for value in model.values() if type(value) is int)]
    whole = len(depths) == len(widths) and min(*depths, *widths) >= 1
    if not whole or sum(depths) > MOST_BLOCKS or max(sizes) > LARGEST:
        return f"no network has depths {list(depths)}, widths {list(widths)} and sizes up to {max(sizes)}"
    return problem_of_stages(model)


def problem_with_data(shape: tuple[int, ...], classes: int) -> str | None:
    """What of a network's images (height, width, channels) and classes no data have, or None."""
    whole = len(shape) == 3 and min(*shape, classes) >= 1
    if not whole or math.prod(shape) > MOST_NUMBERS or max(*shape, classes) > LARGEST:
        return f"no network has images {list(shape)} and {classes} classes"
    return None


def _require_whole(said: _Said) -> None:
    """Raises ValueError where fields do not fit together."""
    if problem := problem_with_data(said.input_shape, said.num_classes):
        raise ValueError(problem)
    if said.family != said.model["family"] or said.widths != said.model["widths"]:
        raise ValueError("its model has another family, or other widths")
    if said.fit not in (known := KEYS["data.fit"].choices):
        raise ValueError(f"its pictures are fitted by {said.fit!r}, which is none of {', '.join(known)}")
    if len(said.class_names) != said.num_classes:
        raise ValueError(f"{len(said.class_names)} class names for {said.num_classes} classes")
    for name in ("mean", "std"):
        _require_of_pixels(name, said.normalization[name], said.input_shape)
    if said.lower is not None and not (
        len(said.lower) == len(said.depths) and all(1 <= low <= most for low, most in zip(said.lower, said.depths))
    ):
        raise ValueError(f"no elastic network has lowest depths {list(said.lower)}")


def _require_of_pixels(name: str, values: Any, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless nested lists of numbers broadcast over images of a shape."""
    rest = [values]
    found = []
    while isinstance(rest[0], list) and len(found) < 3:
        if len({len(one) if isinstance(one, list) else None for one in rest}) != 1 or not rest[0]:
            raise ValueError(f"normalization.{name} is not of images {list(shape)}")
        found.append(len(rest[0]))
        rest = [part for one in rest for part in one]
    fits = all(size in (1, of) for size, of in zip(reversed(found), reversed(shape)))
    usual = lambda value: (
        not typed.problem(value, float) and abs(value) <= typed.LARGEST and (value > 0 or name == "mean")
    )
    if not fits or not all(map(usual, rest)):
        raise ValueError(f"normalization.{name} is not of images {list(shape)}")
