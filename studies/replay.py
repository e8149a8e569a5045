"""Replays ways to choose depths on tables of networks that others have trained at every depth. No training: seconds.

    python -m studies.replay --tables=../shared/depth_tables

Every network of a table gives a budget: the networks that cost at most as much. A rule starts at the lowest depths of all
stages and adds one block at a time, where the result still fits; what it ends at is compared with the best network
within the budget. Regret is that difference in points of accuracy, the mean over all budgets in which something fits.
`elastic` reads all networks with normal noise of so many points, fits the response of jaxstage.depth_search.response
and takes the whole tuple. `greedy` takes the step of the highest true gain for its cost, the bound of a search that
looks one step ahead.

The last line is a JSON object {table: {cost: {rule: regret}}}. Where a table has two halves (accuracies of disjoint
samples), rules choose on one and are judged on the other, both ways, so regrets below 0 are possible.
"""

import argparse
import functools
import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxstage.comparison.table import interval
from jaxstage.depth_search.response import choose, fit, frontier
from jaxstage.depths import Depths, between, deeper
from jaxstage.files import write_json
from studies import tables
from studies.study import Study, files

COSTS = ("macs", "parameters", "latency_ms")
NOISES = (0.0, 0.2, 0.5, 1.0)  # points of accuracy, of a reading
FREE = 1e-9  # of any cost: what a step costs at least
EXACT = 1e-3  # points of accuracy; of a reading without noise
LEAST_ERROR = 0.1  # points; so that noise makes no error rate of 0
REPEATS = 20  # of everything random
HALVES = 2  # so many accuracies are halves; three and more are seeds


class Table(NamedTuple):
    """A published table.

    Attributes:
      name: of its file, with what was cut off.
      chosen_on: accuracies by depths that a rule may see, in points.
      judged_on: accuracies that its choice is judged by.
      costs: {cost: {depths: number}}.
    """

    name: str
    chosen_on: dict[Depths, float]
    judged_on: dict[Depths, float]
    costs: dict[str, dict[Depths, float]]


# Which stage grows: (depths, the stages whose next step fits) -> one of these.
Step = Callable[[Depths, list[int]], int]

FIXED: dict[str, Step] = {
    "shallowest, ties first": lambda depths, stages: min(stages, key=lambda stage: depths[stage]),
    "shallowest, ties last": lambda depths, stages: min(reversed(stages), key=lambda stage: depths[stage]),
    "first stage": lambda depths, stages: stages[0],
    "last stage": lambda depths, stages: stages[-1],
}


def load(path: pathlib.Path) -> list[Table]:
    """The tables in a file: where it has halves one each way round, and where stages can be without blocks one from
    depth 1 on besides; none if networks are missing, because then rules cannot be followed."""
    rows = json.loads(path.read_text())["rows"]
    measured = {tuple(row["depths"]): np.atleast_1d(row["accuracy"]) for row in rows}
    costs = {cost: {tuple(row["depths"]): row[cost] for row in rows} for cost in COSTS if cost in rows[0]}
    lower, upper = (tuple(map(end, zip(*measured))) for end in (min, max))
    if set(measured) != set(between(lower, upper)):
        return []
    halves = len(next(iter(measured.values()))) == HALVES
    views = [(0, 1), (1, 0)] if halves else [(slice(None), slice(None))]
    found = []
    for seen, judged in views:
        accuracy = lambda part: {depths: float(np.mean(values[part])) for depths, values in measured.items()}
        found.append(Table(path.stem, accuracy(seen), accuracy(judged), costs))
    return found + [_without_empty_stages(table) for table in found if min(lower) == 0]


def _without_empty_stages(table: Table) -> Table:
    kept = lambda values: {depths: value for depths, value in values.items() if min(depths) >= 1}
    costs = {cost: kept(values) for cost, values in table.costs.items()}
    return Table(f"{table.name} from 1", kept(table.chosen_on), kept(table.judged_on), costs)


def walk(cost_of: dict[Depths, float], start: Depths, budget: float, step: Step) -> Depths:
    """Where a rule ends that grows one stage at a time while a step fits."""
    depths = start
    while stages := [stage for stage in range(len(depths)) if cost_of.get(deeper(depths, stage), np.inf) <= budget]:
        depths = deeper(depths, step(depths, stages))
    return depths


def greedy(table: Table, cost_of: dict[Depths, float]) -> Step:
    def step(depths, stages):
        gain = lambda stage: table.chosen_on[deeper(depths, stage)] - table.chosen_on[depths]
        added = lambda stage: max(cost_of[deeper(depths, stage)] - cost_of[depths], FREE)
        return max(stages, key=lambda stage: gain(stage) / added(stage))

    return step


def elastic(table: Table, cost_of: dict[Depths, float], noise: float, random: np.random.Generator):
    """(budget) -> the depths that a fitted response chooses.

    The response is that of the logarithm of the error rate: blocks take away a part of the errors, not so many points.
    """
    states = list(table.chosen_on)
    read = [table.chosen_on[depths] + noise * random.standard_normal() for depths in states]
    wrong = np.clip(100 - np.array(read), LEAST_ERROR, None)
    response = fit(states, np.log(wrong), np.maximum(noise, EXACT) / wrong)
    return functools.partial(choose, frontier(response, cost_of.__getitem__))


def mean_regret(table: Table, cost: str, ends_at: Callable[[float], Depths]) -> float:
    """Points of accuracy that a choice loses to the best within the budget, the mean over the budgets of a cost."""
    cost_of, start = table.costs[cost], min(table.judged_on)
    budgets = sorted({value for value in cost_of.values() if value >= cost_of[start]})
    best = [max(a for depths, a in table.judged_on.items() if cost_of[depths] <= budget) for budget in budgets]
    return float(np.mean([top - table.judged_on[ends_at(budget)] for budget, top in zip(budgets, best)]))


def regrets(table: Table, cost: str) -> dict[str, float]:
    """Mean regret of each rule over the budgets of one kind of cost."""
    cost_of, start = table.costs[cost], min(table.judged_on)
    regret = functools.partial(mean_regret, table, cost)
    walking = lambda step: functools.partial(walk, cost_of, start, step=step)
    drawn = lambda seed: (lambda random: lambda _, stages: stages[random.integers(len(stages))])(
        np.random.default_rng(seed)
    )
    found = {name: regret(walking(step)) for name, step in FIXED.items()}
    found["random"] = float(np.mean([regret(walking(drawn(seed))) for seed in range(REPEATS)]))
    found["greedy"] = regret(walking(greedy(table, cost_of)))
    for noise in NOISES:
        seeds = range(REPEATS if noise else 1)
        read = [elastic(table, cost_of, noise, np.random.default_rng(seed)) for seed in seeds]
        found[f"elastic, noise {noise}" if noise else "elastic"] = float(np.mean([regret(ends_at) for ends_at in read]))
    return found


def replay(folder: pathlib.Path) -> tuple[dict, list[str]]:
    """({table: {cost: {rule: mean regret in points}}}, the files that have too few networks)."""
    found, left_out = {}, []
    for path in sorted(folder.glob("*.json")):
        views = load(path)
        if not views:
            left_out.append(path.name)
        for name in dict.fromkeys(table.name for table in views):
            same = [table for table in views if table.name == name]
            found[name] = {
                cost: {rule: float(np.mean([one[rule] for one in each])) for rule in each[0]}
                for cost in same[0].costs
                if (each := [regrets(table, cost) for table in same])
            }
    return found, left_out


def ranking(found: dict) -> str:
    """A table of each rule: its mean regret over all tables and costs, and how far it is from the best fixed rule at worst."""
    cells = [by_rule for costs in found.values() for by_rule in costs.values()]
    best = [min(cell[rule] for rule in FIXED) for cell in cells]
    lines = [
        "| rule | mean regret | at worst, over the best fixed rule of that table and cost |",
        "| --- | --: | --: |",
    ]
    for rule in cells[0]:
        mean, worst = np.mean([cell[rule] for cell in cells]), max(cell[rule] - low for cell, low in zip(cells, best))
        lines.append(f"| {rule} | {mean:.3f} | {worst:.2f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", metavar="DIR", type=pathlib.Path, required=True, help="folder of depth tables")
    parser.add_argument("--out", metavar="FILE", type=pathlib.Path, help="where to keep the figures as JSON")
    options = parser.parse_args(arguments)
    folder = options.tables
    found, left_out = replay(folder)
    if not found:
        parser.error(f"--tables={folder}: there are no depth tables there")
    for name, costs in found.items():
        for cost, by_rule in costs.items():
            print(f"{name}, {cost}: " + ", ".join(f"{rule} {regret:.2f}" for rule, regret in by_rule.items()))
    for name in left_out:
        print(
            f"{name} is left out: it has not all networks between its lowest and highest depths, so no rule can be followed"
        )
    if options.out:
        write_json(options.out, found)
    print(f"\n{ranking(found)}\n")
    print(json.dumps(found))


# What docs/RESULTS.md says of it

SPACES = {"nbm": "NAS-Bench-Macro", "ofa": "Once-for-All MobileNetV3", "resnet48": "ResNet-48 supernet"}
COST_NAMES = {"macs": "MACs", "parameters": "parameters", "latency_ms": "phone latency"}
NOISY = "elastic, noise 0.5"
SHOWN = (NOISY, "greedy", *FIXED, "random")


class Row(NamedTuple):
    """Tables of one space with one cost.

    Attributes:
      name: of the space, how many tables, and the cost.
      regret: of each rule, points, the mean over the tables.
      best: the fixed rule of the least regret in this row.
      advantage: interval over the tables of its regret less that of NOISY.
    """

    name: str
    regret: dict[str, float]
    best: str
    advantage: dict


class Summary(NamedTuple):
    """Rows, the last one of all tables; `behind`: regret over that of a cell's best fixed rule, at worst; all cells."""

    rows: list[Row]
    behind: dict[str, float]
    cells: dict


def summarise(found: dict) -> Summary:
    rows = []
    for prefix, space in SPACES.items():
        for cost, words in COST_NAMES.items():
            cells = [costs[cost] for name, costs in found.items() if name.startswith(prefix) and cost in costs]
            if cells:
                rows.append(_row(f"{space}, {len(cells)} table{'s' * (len(cells) > 1)}, {words}", cells))
    every = [by_rule for costs in found.values() for by_rule in costs.values()]
    least = [min(cell[rule] for rule in FIXED) for cell in every]
    behind = {rule: max(cell[rule] - low for cell, low in zip(every, least)) for rule in SHOWN}
    return Summary([*rows, _row("all", every)], behind, found)


def _row(name: str, cells: list[dict]) -> Row:
    regret = {rule: float(np.mean([cell[rule] for cell in cells])) for rule in SHOWN}
    best = min(FIXED, key=regret.__getitem__)
    return Row(name, regret, best, interval([cell[best] - cell[NOISY] for cell in cells]))


def verdict(found: Summary) -> str:
    head = ["space", *SHOWN, "elastic, noise 0.5, against the row's best fixed rule"]
    rows = [
        [row.name, *(f"{row.regret[rule]:.2f}" for rule in SHOWN), f"{tables.verdict(row.advantage)} ({row.best})"]
        for row in found.rows
    ]
    behind = [f"{found.behind[rule]:.2f}" for rule in SHOWN]
    return tables.table(head, [*rows, ["at worst, over the best fixed rule of a table and cost", *behind, ""]])


def details(found: Summary) -> str:
    rows = [
        [f"{name}, {COST_NAMES[cost]}", *(f"{by_rule[rule]:.2f}" for rule in SHOWN)]
        for name, costs in found.cells.items()
        for cost, by_rule in costs.items()
    ]
    return tables.table(["table, cost", *SHOWN], rows)


STUDY = Study(
    "*How should depths be chosen, if readings are good?* Points of accuracy lost to the best network within a budget, the "
    "mean over all budgets, on published tables of networks that others trained (`python -m studies replay`). "
    "`elastic, noise 0.5` is the choice of the rule `elastic`, fed with readings that are wrong by half a point each; "
    "`greedy` looks at true gains one step ahead. Intervals are over tables; those of NAS-Bench-Macro from one block a "
    "stage on are parts of the others and counted besides.",
    lambda folder: files(folder, "replay.json").get("replay", {}),
    summarise,
    verdict,
    details,
)


if __name__ == "__main__":
    main()
