"""Does the search find what others have measured? Looked up in NAS-Bench-Macro, where every network is trained.

    python benchmarks/nas_bench_macro.py --preset=tiny     # 2 CPU cores, about 15 minutes
    python benchmarks/nas_bench_macro.py --preset=gpu      # one GPU, meant for half an hour; not measured yet
    python benchmarks/nas_bench_macro.py --preset=full     # the table's widths and batch, for an accelerator

Needs: CIFAR-10 as a TFDS set, and the table, ../shared/nas_bench_macro/mb3_k3.json: inverted-residual networks of at
most 2, 3 and 3 blocks (Su et al., CVPR 2021, arXiv 2103.11922), three training runs each, on lossless CIFAR-10.

With each importance method and seed a search starts at (1, 1, 1) and grows the one stage that it ranks first, a block a
round, three rounds: half of the way to the deepest network, where nothing is left to choose. Noise alone ends no search
(margin 0); one in which no stage rises ends early, and that counts as a wrong decision. The table then tells

  regret         points of accuracy to the best network of at most the same MACs; stopping early keeps it low, so look
                 at the accuracy beside it
  rank           by accuracy, of all networks and of those of at most the same MACs
  agreement      how often the stage with the highest gain per added MAC was grown

beside random growth (all paths, with their probabilities), the shallowest stage first, and the table's own greedy path.
The command goes on where it was killed; what it leaves is OUT/<preset>.json.
"""

import json
import pathlib
import shutil
import sys
from typing import NamedTuple

import depth_table
import grid
import summary
from absl import app, flags, logging

from jaxstage.devices.cpu.host_memory import use_huge_pages

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
TABLE = REPOSITORY.parent / "shared" / "nas_bench_macro" / "mb3_k3.json"
START = (1, 1, 1)
METHODS = {  # by name, what differs from the default search
    "perturbation": {"importance.method": "perturbation"},
    "ablation": {"importance.method": "ablation"},
    "pls_vip": {"importance.method": "pls_vip"},
}
FIGURES = ("accuracy", "regret", "mean_regret", "rank", "rank_at_cost", "agreement")

_PRESET = flags.DEFINE_enum("preset", "tiny", ["toy", "tiny", "gpu", "full"], "how large")
_OUT = flags.DEFINE_string("out", str(summary.RESULTS / "nas_bench_macro"), "folder of the summary")
_ROOT = flags.DEFINE_string("root", None, "where the runs are kept; runs/nas_bench_macro/<preset> without it")
_JOBS = flags.DEFINE_integer("jobs", None, "processes side by side; the preset's number without it")
_TABLE = flags.DEFINE_string("table", str(TABLE), "file of the trained networks")


class Preset(NamedTuple):
    """How large the searches are.

    Attributes:
      changes: of the default config, by key.
      methods: names of METHODS.
      seeds: how many; seed 0 and on.
      jobs: processes side by side.
    """

    changes: dict
    methods: tuple[str, ...]
    seeds: int
    jobs: int


SEARCH = {
    "model.family": "mobilenet",
    "model.depths": START,
    "growth.step": 1,
    "growth.max_stages": 1,
    "growth.max_rounds": 3,
    "growth.margin": 0.0,
    "final.epochs": 1,
    "final.warmup_epochs": 0.0,  # no part of the measurement
}
NARROW = {"model.widths": (16, 32, 64), "model.stem_width": 8, "model.head_width": 320}
PUBLISHED = {
    "data.name": "cifar10",
    "batch_size": 256,
    "model.widths": (64, 128, 256),
    "model.dtype": "bfloat16",
    "importance.examples": 2048,
}
PRESETS = {
    "toy": Preset(  # for the tests
        {
            **NARROW,
            "data.name": "digits",
            "data.examples": 200,
            "batch_size": 64,
            "model.widths": (4, 4, 4),
            "candidate.epochs": 1,
            "importance.examples": 32,
            "growth.max_rounds": 1,
            "growth.max_depth": (1, 1, 2),
        },
        methods=("perturbation",),
        seeds=1,
        jobs=1,
    ),
    "tiny": Preset(
        {
            **NARROW,
            "data.name": "cifar10",
            "data.examples": 1_000,
            "batch_size": 32,
            "candidate.epochs": 3,
            "importance.examples": 256,
        },
        tuple(METHODS),
        seeds=10,
        jobs=2,
    ),
    "gpu": Preset({**PUBLISHED, "candidate.epochs": 6}, tuple(METHODS), seeds=3, jobs=1),
    "full": Preset({**PUBLISHED, "candidate.epochs": 20}, tuple(METHODS), seeds=5, jobs=1),
}


def search(workdir: pathlib.Path, changes: dict) -> dict:
    """Runs a search in workdir/run, or goes on with it there.

    Returns:
      path: the depths that it stood on, one more than rounds; rounds: what was decided in each, with the scores;
      seconds: of the whole run.
    """
    from jaxstage.config import default
    from jaxstage.run import run as run_config

    config, run = default(), workdir / "run"
    config.update_from_flattened_dict(changes)
    run_config(config, "nas_bench_macro", str(run))
    record = json.loads((run / "search.json").read_text())
    shutil.rmtree(run / "checkpoints", ignore_errors=True)  # gone already if this was killed after it
    depths = {candidate["name"]: candidate["depths"] for candidate in record["candidates"]}
    rounds = record["rounds"]
    path = [depths[rounds[0]["current"]], *(depths[closed["next"]] for closed in rounds)]
    return {"path": path, "rounds": [closed["decisions"] for closed in rounds], "seconds": record["seconds"]}


def cells(preset: Preset, settings: dict) -> list[grid.Cell]:
    """One a method and seed."""
    return [
        grid.Cell(f"{method}/seed{seed}", search, ({**settings, **METHODS[method], "seed": seed},))
        for method in preset.methods
        for seed in range(preset.seeds)
    ]


def bounds(table: dict, start: tuple[int, ...], steps: int) -> dict:
    """What the table alone says of the best and of thoughtless ways to grow."""
    random = depth_table.random_paths(table, start, steps)
    judged = {path: depth_table.judge(table, path) for path in random}
    mean = lambda figure: sum(judged[path][figure] * probability for path, probability in random.items())
    return {
        "greedy": depth_table.judge(table, depth_table.greedy_path(table, start, steps)),
        "uniform": depth_table.judge(table, depth_table.uniform_path(table, start, steps)),
        "random": {"paths": len(random), **{figure: mean(figure) for figure in FIGURES}},
    }


def main(_):
    logging.set_verbosity(logging.FATAL)
    if not pathlib.Path(_TABLE.value).exists():
        sys.exit(f"error: {_TABLE.value} is missing: give the file of the trained networks with --table=FILE")
    preset, table = PRESETS[_PRESET.value], depth_table.load(pathlib.Path(_TABLE.value))
    settings = {**SEARCH, "growth.max_depth": depth_table.limits(table), **preset.changes}
    root = pathlib.Path(_ROOT.value or f"runs/nas_bench_macro/{_PRESET.value}")
    found = grid.run(cells(preset, settings), root, _JOBS.value or preset.jobs)
    searches = {
        name: {
            **depth_table.judge(table, tuple(map(tuple, cell["path"]))),
            "rounds": cell["rounds"],
            "seconds": cell["seconds"],
        }
        for name, cell in found.items()
    }
    results = {
        "methods": {method: averages(searches, method) for method in preset.methods},
        "rules": {name: depth_table.against_chance(table, rule) for name, rule in depth_table.RULES.items()},
        "bounds": bounds(table, START, settings["growth.max_rounds"]),
        "searches": searches,
    }
    out = pathlib.Path(_OUT.value) / f"{_PRESET.value}.json"
    summary.write(out, _PRESET.value, {**settings, "seeds": preset.seeds}, results)
    report(results)
    print(f"written: {out}")


def averages(searches: dict, method: str) -> dict:
    """Each figure's mean over a method's seeds, with its confidence interval; the agreement over all their decisions."""
    mine = [judged for name, judged in searches.items() if name.startswith(f"{method}/")]
    choices = [decision for judged in mine for decision in judged["decisions"] if len(decision["gains"]) > 1]
    return {
        **{
            figure: summary.interval([judged[figure] for judged in mine]) for figure in FIGURES if figure != "agreement"
        },
        "agreement": summary.share(sum(choice["picked"] == choice["best"] for choice in choices), len(choices)),
    }


def report(results: dict):
    """Prints a line a method and a bound."""
    print(f"{'':30}" + "".join(f"{figure:>24}" for figure in FIGURES))
    for method, figures in results["methods"].items():
        cells = (_text(figures[figure]) for figure in FIGURES)
        print(f"{method:30}" + "".join(f"{cell:>24}" for cell in cells))
    for name, figures in results["bounds"].items():
        print(f"({name})".ljust(30) + "".join(f"{figures[figure]:24.2f}" for figure in FIGURES))
    for name, rule in results["rules"].items():
        print(
            f"{name}, over all {rule['choices']} choices: best {rule['top1']:.2f} (chance {rule['chance']:.2f}), "
            f"{rule['over_random']:+.3f} points a million MACs over a random stage, p = {rule['p']:.3f}"
        )


def _text(interval: dict | None) -> str:
    if interval is None:
        return "-"
    if interval["low"] is None:
        return f"{interval['mean']:.2f}"
    return f"{interval['mean']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


if __name__ == "__main__":
    use_huge_pages()
    app.run(main)
