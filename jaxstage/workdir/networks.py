"""What a finished run hands over: WORKDIR/final/architecture.json and WORKDIR/final/weights/ (Orbax).

An elastic search keeps its last elastic network in WORKDIR/elastic/ likewise: each of its states can be trained to the
end.
"""

import os
import pathlib
import platform
import shutil
from collections.abc import Collection
from importlib import metadata as packages
from typing import Any, NamedTuple

import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax import linen as nn

import jaxstage
from jaxstage import cost, plugins
from jaxstage.config import Config, plain
from jaxstage.data import Dataset, Normalization
from jaxstage.data.pictures import CROP
from jaxstage.devices import hosts
from jaxstage.errors import UserError
from jaxstage.files import explaining_a_failed_write, local, require_within, retried, there, write_json
from jaxstage.models import build, shapes_of
from jaxstage.workdir import architecture, weights
from jaxstage.workdir.checkpoint import async_options, digest, of_one_process
from jaxstage.workdir.record import Candidate

FOLDER, ELASTIC, ARCHITECTURE, WEIGHTS = "final", "elastic", architecture.FILE, "weights"


def save(
    workdir: pathlib.Path, config: Config, candidate: Candidate, variables: Any, dataset: Dataset, test: dict
) -> None:
    """Writes what a run hands over: see `describe` and `write`.

    Args:
      workdir: of the run.
      config: of the run.
      candidate: the final network, trained.
      variables: its params and batch_stats.
      dataset: what it was trained on.
      test: {loss, accuracy, balanced_accuracy} on the test split.

    Raises:
      UserError: the disk is full.
    """
    assert candidate.validation is not None
    results = {
        "validation_accuracy": candidate.validation["accuracy"],
        "test_accuracy": test["accuracy"],
        "test_balanced_accuracy": test["balanced_accuracy"],
        "test_loss": test["loss"],
        "seed": config.seed,
    }
    write(workdir, _described(config, candidate, variables, dataset) | results, variables)


def save_elastic(workdir: pathlib.Path, config: Config, candidate: Candidate, variables: Any, dataset: Dataset) -> None:
    """Writes the elastic network of a search, as `save` does the final one; its architecture says from which depths on."""
    assert candidate.lower is not None
    described = _described(config, candidate, variables, dataset) | {"lower": list(candidate.lower)}
    write(workdir, described, variables, ELASTIC)


def _described(config: Config, candidate: Candidate, variables: Any, dataset: Dataset) -> dict:
    model = {**plain(config.model), "depths": list(candidate.depths)}
    fit, of = config.data.fit or CROP, dataset
    return describe(model, variables, of.name, of.class_names, of.image_shape, of.normalization, fit)


def describe(
    model: dict,
    variables: Any,
    data: str,
    class_names: tuple[str, ...],
    image_shape: tuple[int, int, int],
    normalization: Normalization,
    fit: str = CROP,
) -> dict:
    """What architecture.json has to say of a network for `load` to build it again, wherever it comes from.

    Args:
      model: the config's `model` part as a plain dict, with the network's depths.
      variables: its params and batch_stats.
      data: name of the data set that it was trained on.
      class_names: one for each logit.
      image_shape: (height, width, channels) of its input.
      normalization: of its input.
      fit: how pictures become its input, see `jaxstage.data.pictures`.
    """
    counted = cost.count(build(model, model["depths"], len(class_names)), image_shape)
    return {
        "family": model["family"],
        "depths": list(model["depths"]),
        "widths": list(model["widths"]),
        "num_classes": len(class_names),
        "input_shape": list(image_shape),
        "fit": fit,
        **counted.known(),
        "data": data,
        "class_names": list(class_names),
        "normalization": {name: value.tolist() for name, value in normalization._asdict().items()},
        "model": model,
        "weights_sha256": digest(variables),
        "versions": {"jaxstage": jaxstage.__version__, "python": platform.python_version()}
        | {name: packages.version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint")},
    }


def write(workdir: pathlib.Path, described: dict, variables: Any, folder: str = FOLDER) -> None:
    """Writes a folder of WORKDIR in one move: it is there whole or not at all.

    Args:
      workdir: there already.
      described: see `describe`.
      variables: params and batch_stats.
      folder: FOLDER or ELASTIC.

    Raises:
      UserError: the disk is full.
    """
    temporary, target = workdir / f"{folder}.tmp", workdir / folder

    def explained(do):
        with explaining_a_failed_write(f"writing {target}"):
            retried(do, f"writing {target}")

    def begin():
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir()

    def save_weights():
        hosts.on_primary(explained, begin)
        with ocp.StandardCheckpointer(async_options=async_options()) as checkpointer:
            checkpointer.save((temporary / WEIGHTS).absolute(), variables)

    def finish():
        write_json(temporary / ARCHITECTURE, described)
        if target.exists():  # from a run that was killed before it wrote its record
            shutil.rmtree(target)
        os.replace(temporary, target)

    with explaining_a_failed_write(f"writing {target}"):
        retried(save_weights, f"writing {target}", of_one_process())
    hosts.on_primary(explained, finish)


def exist(workdir: pathlib.Path, folder: str = FOLDER) -> bool:
    """Whether a run has handed over its network. It is written in one move, so half of it is never there."""
    return there(workdir / folder / ARCHITECTURE)


class Network(NamedTuple):
    """The network of a finished run, which also unpacks as (module, variables, metadata).

    Attributes:
      module: a flax.linen module.
      variables: its params and batch_stats.
      metadata: architecture.json as a dict, with `mean` and `std` as arrays that broadcast over images (height, width,
        channels) on the scale 0..1.
    """

    module: nn.Module
    variables: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of its input."""
        return tuple(self.metadata["input_shape"])

    @property
    def fit(self) -> str:
        """How pictures become its input, see `jaxstage.data.pictures`."""
        return self.metadata.get("fit", CROP)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One for each logit."""
        return tuple(self.metadata["class_names"])


def load(workdir: str | os.PathLike, trust: bool | Collection[str] = False, part: str = FOLDER) -> Network:
    """The network that a finished run handed over.

    Example:
      network = jaxstage.load("runs/digits")
      jaxstage.predict(network, images)[0].label
      module, variables, metadata = network
      logits = module.apply(variables, (images / 255 - metadata["mean"]) / metadata["std"])

    Args:
      workdir: a run's work directory.
      trust: whether to import the model family that it names, MODULE:FUNCTION, if that is none of jaxstage's own: this
        runs somebody's code. A collection: these names alone.
      part: "elastic" for the elastic network of a search, whose `metadata["lower"]` are its lowest depths.

    Raises:
      UserError: there is no finished run, its weights are damaged or cannot be read, or it is not trusted.
    """
    place = local(workdir, "WORKDIR")
    folder = place.absolute() / part
    if not exist(place, part):
        raise UserError(f"{workdir} holds no finished run (no {part}/{ARCHITECTURE}): run its command to the end first")
    require_within(folder, place)
    metadata = architecture.read(folder / ARCHITECTURE)
    plugins.require_trust(metadata["model"]["family"], str(workdir), trust)
    depths, shape = metadata["depths"], metadata["input_shape"]
    shapes = lambda: shapes_of(build(metadata["model"], depths, metadata["num_classes"]), shape)
    variables = weights.read(folder / WEIGHTS, place, sum(depths), shapes, metadata["weights_sha256"])
    metadata |= {name: jnp.array(value) for name, value in metadata["normalization"].items()}
    return Network(build(metadata["model"], depths, metadata["num_classes"]), variables, metadata)
