"""Cells of a grid that are runs of the program: a config file with a few keys changed, and what is kept of the run."""
import json
import pathlib
import runpy
import shutil

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


def load(config: str, changes: dict):
    """A config by its FILE[:PRESET], with keys like `model.widths` changed."""
    path, _, preset = config.partition(":")
    loaded = runpy.run_path(str(REPOSITORY / path))["get_config"](*filter(None, [preset]))
    loaded.update_from_flattened_dict(changes)
    return loaded


def measure(workdir: pathlib.Path, config: str, changes: dict) -> dict:
    """Runs the program in workdir/run, or goes on with it there.

    Returns:
      depths, parameters, macs, test_accuracy and seconds of the final network, and `candidates` as the record of the
      search has them, without what their scores are made of.
    """
    from jaxstage import main

    run = workdir / "run"
    result = main.run(load(config, changes), config, str(run))
    record = json.loads((run / "search.json").read_text())
    shutil.rmtree(run / "checkpoints")  # of hundreds of networks they would fill the disk
    kept = ("name", "role", "depths", "macs", "validation")
    candidates = [{**{key: c[key] for key in kept}, "scores": bool(c["scores"])} for c in record["candidates"]]
    wanted = ("depths", "parameters", "macs", "test_accuracy", "seconds")
    return {**{key: result[key] for key in wanted}, "candidates": candidates}
