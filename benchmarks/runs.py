"""Cells of a grid that are runs of the program: a config file with a few keys changed, and what is kept of the run."""

import argparse
import json
import os
import pathlib
import shutil

import rivals

from jaxstage import config as configs

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


def arguments(usage: str, benchmark: str, presets: dict) -> argparse.Namespace:
    """The command line of a benchmark that is a grid of runs: preset (one of `presets`), root (a path) and jobs."""
    parser = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=presets, default="tiny")
    parser.add_argument("--root", type=pathlib.Path, help=f"where runs are kept; runs/{benchmark}/PRESET without it")
    parser.add_argument("--jobs", type=int, help="processes side by side; the preset's number without it")
    given = parser.parse_args()
    given.root = given.root or pathlib.Path(f"runs/{benchmark}/{given.preset}")
    given.jobs = given.jobs or presets[given.preset].jobs
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # this process and the grid's share a GPU
    return given


def load(config: str, changes: dict):
    """A config by its FILE[:PRESET] in the repository, with keys like `model.widths` changed."""
    return configs.load(REPOSITORY / config, changes)


def measure(workdir: pathlib.Path, config: str, changes: dict) -> dict:
    """Runs the program in workdir/run, or goes on with it there.

    Returns:
      depths, parameters, macs, test_accuracy and seconds of the final network, and `candidates` as the record of the
      search has them, without what their scores are made of.
    """
    from jaxstage.run import run as run_config

    run = workdir / "run"
    result = run_config(load(config, changes), config, str(run))
    record = json.loads((run / "search.json").read_text())
    shutil.rmtree(run / "checkpoints", ignore_errors=True)  # of hundreds of networks they would fill the disk
    kept = ("name", "role", "depths", "macs", "validation", "steps")
    candidates = [{**{key: c[key] for key in kept}, "scores": bool(c["scores"])} for c in record["candidates"]]
    wanted = ("depths", "parameters", "macs", "test_accuracy", "seconds")
    return {**{key: result[key] for key in wanted}, "candidates": candidates}


class Facts:
    """What there is to know about a changed config before anything runs.

    Attributes:
      config: the config as `load` makes it.
      images, validation: how many train and validate.
      jpeg: whether the data set keeps its images with the loss of JPEG.
      start: depths that it starts from.
      cost_of: cost of a network by its depths, none below `start`.
    """

    def __init__(self, config: str, changes: dict):
        from jaxstage.config import plain
        from jaxstage.cost import count
        from jaxstage.data import load_train
        from jaxstage.data.sources import is_jpeg, open_source
        from jaxstage.models import build

        self._source, self.config = (config, changes), load(config, changes)
        dataset = load_train(self.config.data, seed=0)
        self.images, self.validation = dataset.train.size, dataset.validation.size
        self.jpeg = is_jpeg(open_source(self.config.data.name, self.config.data.dir))
        self.start = tuple(self.config.model.depths)
        network = lambda depths: build(plain(self.config.model), depths, dataset.num_classes)
        self.cost_of = rivals.additive_cost(self.start, lambda depths: count(network(depths), dataset.image_shape))

    def settings(self) -> dict:
        """What to say about it in a summary."""
        config, changes = self._source
        return {
            "config": config,
            "changes": changes,
            "training_images": self.images,
            "validation_images": self.validation,
            "epochs": {"candidate": self.config.candidate.epochs, "final": self.config.final.epochs},
            "widths": list(self.config.model.widths),
            "start": list(self.start),
            "jpeg": self.jpeg,
        }
