"""Does the search pay? The found network against others with the same data, seeds and training.

    python benchmarks/baselines.py --preset=tiny     # 2 CPU cores and a C++ compiler, under an hour
    python benchmarks/baselines.py --preset=gpu      # one GPU, meant for half an hour; not measured yet
    python benchmarks/baselines.py --preset=full     # the published scale

For every data set and seed:

  searches: the default one and the others in SEARCHES. Each hands over a network that inherited weights along the
    way, so it has been trained for longer than the schedule of its final training alone.
  from scratch: the depths that the default search found, rivals of equal cost (benchmarks/rivals.py) and ResNets, each
    trained from scratch by the schedule of the final training. Only these tell how good the *depths* are.

A network that is due twice is trained once. The command goes on where it was killed; what it leaves is
benchmarks/results/baselines/<preset>.json.
"""

import pathlib
from typing import NamedTuple

import grid
import rivals
import runs
import summary
from passes import cost

from jaxstage.devices.cpu.host_memory import use_huge_pages

DEFAULT, LONGER, FOUND = "lowest score", "lowest score, twice the epochs", "found"
RISE = {"growth.rule": "relative_rise"}  # the paper's rule
SEARCHES = {  # by name, what is set in the config
    DEFAULT: {"growth.rule": "lowest_score"},
    LONGER: {"growth.rule": "lowest_score"},  # of a candidate, and so about the cost of the others, who train probes
    "rise": RISE,
    "every stage that rises": {**RISE, "growth.max_stages": None},
    "ablation": {**RISE, "importance.method": "ablation"},
    "pls_vip": {**RISE, "importance.method": "pls_vip"},
    "random": {**RISE, "importance.method": "random"},
    "uniform": {**RISE, "importance.method": "uniform"},
}


ALL = tuple(rivals.RESNETS)


class Study(NamedTuple):
    """What is compared on one data set.

    Attributes:
      config, changes: a config (FILE[:PRESET]) and what is changed in it. All searches have the same budget. Where it
        lasts for few rounds one stage grows in each: if all that rise did, as in full, the budget would be spent before
        there was a choice.
      searches: which of SEARCHES, the default one first.
      resnets: which of `rivals.RESNETS`.
    """

    config: str
    changes: dict
    searches: tuple[str, ...] = tuple(SEARCHES)
    resnets: tuple[str, ...] = ALL


class Preset(NamedTuple):
    """How large the comparison is.

    Attributes:
      studies: by the data set's name.
      seeds: how many; seed 0 and on.
      deepest: limit of a stage's depth in rivals.
      jobs: processes side by side.
    """

    studies: dict[str, Study]
    seeds: int
    deepest: int
    jobs: int


NINE_BLOCKS = {"growth.step": 2, "growth.max_stages": 1, "growth.max_rounds": 3}  # as many as ResNet-20 has
NATIVE = {"convolutions": "native"}  # on the CPUs that these presets are for
RESNET_56 = 130_000_000  # a little more than its MACs at widths 16, 32, 64
PRESETS = {
    "toy": Preset(  # for the tests
        {
            "digits": Study(
                "configs/digits.py",
                {
                    "data.examples": 200,
                    "batch_size": 64,
                    "model.widths": (4, 8),
                    "model.depths": (1, 1),
                    "candidate.epochs": 1,
                    "final.epochs": 1,
                    "growth.max_rounds": 1,
                    "growth.step": 1,
                    "importance.examples": 32,
                },
                searches=(DEFAULT, "random"),
                resnets=(),
            )
        },
        seeds=1,
        deepest=2,
        jobs=1,
    ),
    "tiny": Preset(
        {
            "cifar10": Study(
                "configs/cifar10.py:smoke",
                {
                    "data.examples": 3_500,
                    "data.validation": 1 / 7,
                    "model.widths": (4, 8, 16),
                    **NINE_BLOCKS,
                    "growth.max_macs": 2_650_000,
                    "candidate.epochs": 4,
                    "final.epochs": 8,
                    **NATIVE,
                },
                searches=tuple(name for name in SEARCHES if name != "every stage that rises"),
            ),
            "digits": Study(
                "configs/digits.py",
                {
                    "data.examples": 600,
                    "batch_size": 32,
                    "optimizer.learning_rate": 0.05,
                    "model.widths": (8, 16, 32),
                    **NINE_BLOCKS,
                    "growth.max_macs": 650_000,
                    "candidate.epochs": 3,
                    "importance.examples": 256,
                    "final.epochs": 8,
                    **NATIVE,
                },
                searches=(DEFAULT, LONGER, "rise", "random", "uniform"),
                resnets=("ResNet-20",),
            ),
        },
        seeds=3,
        deepest=9,
        jobs=2,
    ),
    "gpu": Preset(
        {
            "cifar10": Study(
                "configs/cifar10.py:fast",
                {"candidate.epochs": 3, "final.epochs": 15, "growth.max_stages": 1, "growth.max_macs": RESNET_56},
            )
        },
        seeds=3,
        deepest=18,
        jobs=1,
    ),
    "full": Preset(
        {"cifar10": Study("configs/cifar10.py:full", {"candidate.epochs": 20, "growth.max_macs": RESNET_56})},
        seeds=5,
        deepest=18,
        jobs=1,
    ),
}


def main():
    given = runs.arguments(__doc__, "baselines", PRESETS)
    settings, results = compare(PRESETS[given.preset], given.root, given.jobs)
    summary.write(summary.path("baselines", given.preset), given.preset, settings, results)


def compare(preset: Preset, root: pathlib.Path, jobs: int) -> tuple[dict, dict]:
    """Runs what is not finished; returns settings and results, one table for each data set."""
    results = grid.run(first_wave(preset), root, jobs)
    facts = {data: runs.Facts(study.config, study.changes) for data, study in preset.studies.items()}
    plans = {
        (data, seed): plan(preset, data, facts[data], seed, results[_place(data, seed, DEFAULT)])
        for data in preset.studies
        for seed in range(preset.seeds)
    }
    results |= grid.run(second_wave(preset, plans), root, jobs)
    settings = {
        "seeds": preset.seeds,
        "deepest": preset.deepest,
        "searches": SEARCHES,
        "data": {data: facts[data].settings() for data in preset.studies},
    }
    return settings, {data: table(preset, data, plans, results) for data in preset.studies}


# What runs


def first_wave(preset: Preset) -> list[grid.Cell]:
    """What depends on nothing: the searches and the ResNets."""
    keys = [(data, seed) for seed in range(preset.seeds) for data in preset.studies]
    searches = [
        _cell(preset, data, seed, search, _search(preset.studies[data], search))
        for data, seed in keys
        for search in preset.studies[data].searches
    ]
    return searches + [_training(preset, *key, depths) for key in keys for depths in _resnets(preset, key[0]).values()]


def second_wave(preset: Preset, plans: dict) -> list[grid.Cell]:
    """The training runs from scratch that the found depths ask for; the ResNets are among them once more."""
    cells = [_training(preset, *key, depths) for key, rows in plans.items() for depths in rows.values()]
    return list({cell.name: cell for cell in cells}.values())


def _search(study: Study, name: str) -> dict:
    if name != LONGER:
        return SEARCHES[name]
    return {**SEARCHES[name], "candidate.epochs": 2 * runs.load(study.config, study.changes).candidate.epochs}


def _cell(preset: Preset, data: str, seed: int, name: str, changes: dict) -> grid.Cell:
    study = preset.studies[data]
    changes = {**study.changes, **changes, "seed": seed}
    return grid.Cell(_place(data, seed, name), runs.measure, (study.config, changes))


def _place(data: str, seed: int, name: str) -> str:
    return f"{data}/seed{seed}/{name.replace(',', '').replace(' ', '-')}"


def _training(preset: Preset, data: str, seed: int, depths: rivals.Depths) -> grid.Cell:
    changes = {"task": "train", "model.depths": depths}
    return _cell(preset, data, seed, _training_name(depths), changes)


def _training_name(depths: rivals.Depths) -> str:
    return "-".join(map(str, ("depths", *depths)))


def _resnets(preset: Preset, data: str) -> dict[str, rivals.Depths]:
    return {name: (rivals.RESNETS[name],) * 3 for name in preset.studies[data].resnets}


def plan(
    preset: Preset, data: str, facts: runs.Facts, seed: int, search: dict
) -> dict[tuple[str, str | None], rivals.Depths]:
    """Which depths are trained from scratch, by (name, budget that they share with the found ones)."""
    found = tuple(search["depths"])
    paths = rivals.paths(facts.start, facts.config.growth.step, preset.deepest, seed)
    equal = {
        (name, budget): rivals.nearest(path, facts.cost_of(found), budget, facts.cost_of)
        for name, path in paths.items()
        for budget in rivals.BUDGETS
    }
    resnets = {(name, None): depths for name, depths in _resnets(preset, data).items()}
    return {(FOUND, None): found, **equal, **resnets}


# What comes out


def table(preset: Preset, data: str, plans: dict, results: dict) -> list[dict]:
    """Rows for a data set: the searches, then what was trained from scratch."""
    seeds = range(preset.seeds)
    searched = lambda name: [results[_place(data, seed, name)] for seed in seeds]
    trained = lambda row: [results[_place(data, seed, _training_name(plans[data, seed][row]))] for seed in seeds]
    rows = [
        {
            "kind": "search",
            "name": name,
            "budget": None,
            **row(searched(name), searched(DEFAULT)),
            **search_costs(preset.studies[data], name, searched(name)),
        }
        for name in preset.studies[data].searches
    ]
    names = plans[data, 0]
    return rows + [
        {"kind": "scratch", "name": name, "budget": budget, **row(trained((name, budget)), trained((FOUND, None)))}
        for name, budget in names
    ]


def row(runs_of_seeds: list[dict], references: list[dict]) -> dict:
    """One network a seed: what each reached, intervals, and how much better the reference was with the same seed."""
    kept = ("depths", "parameters", "macs", "test_accuracy")
    accuracies, best = ([run["test_accuracy"] for run in side] for side in (runs_of_seeds, references))
    return {
        "accuracy": summary.interval(accuracies),
        "reference_minus_this": summary.interval([a - b for a, b in zip(best, accuracies)]),
        "macs": summary.interval([run["macs"] for run in runs_of_seeds]),
        "parameters": summary.interval([run["parameters"] for run in runs_of_seeds]),
        "seeds": [{key: run[key] for key in kept} for run in runs_of_seeds],
    }


def search_costs(study: Study, name: str, searches: list[dict]) -> dict:
    """Image passes times MACs of the search and of the final training, and their ratio."""
    config = runs.load(study.config, {**study.changes, **_search(study, name)})
    of = lambda final: [cost(config, run["candidates"], final) for run in searches]
    search, final = of(False), of(True)
    return {
        "search_cost": summary.interval(search),
        "final_cost": summary.interval(final),
        "search_per_final": summary.interval([a / b for a, b in zip(search, final)]),
        "networks_trained": summary.interval([len(run["candidates"]) for run in searches]),
    }


if __name__ == "__main__":
    use_huge_pages()
    main()
