"""How docs/RESULTS.md opens: spaces and data sets by rules, from the files in studies/results/."""

import json
import pathlib

import numpy as np
from wording import number, percent, table

STUDIES = pathlib.Path(__file__).resolve().parents[1] / "studies" / "results"
SPACES = {"nbm": "NAS-Bench-Macro", "ofa": "Once-for-All MobileNetV3", "resnet48": "ResNet-48 supernet"}
COSTS = {"macs": "MACs", "parameters": "parameters", "latency_ms": "phone latency"}
RULES = (
    "elastic, noise 0.5",
    "greedy",
    "shallowest, ties last",
    "shallowest, ties first",
    "first stage",
    "last stage",
    "random",
)
NOISY, FIXED = "elastic, noise 0.5", ("shallowest, ties first", "shallowest, ties last", "first stage", "last stage")


def opening(folder: pathlib.Path) -> str:
    """What the studies in a folder say, those that are there."""
    parts = {"replay": replays, "fidelity": fidelity, "macro": macro, "macro_lengths": lengths}
    told = [
        part(json.loads(path.read_text())) for name, part in parts.items() if (path := folder / f"{name}.json").exists()
    ]
    if compared := sorted(folder.glob("compare_*.json")):
        told.append(comparisons([json.loads(path.read_text()) for path in compared]))
    return "\n\n".join(["# Spaces and data sets by rules", *told]) + "\n" if told else ""


def replays(found: dict) -> str:
    rows, every = [], [by_rule for costs in found.values() for by_rule in costs.values()]
    for prefix, space in SPACES.items():
        tables = [costs for name, costs in found.items() if name.startswith(prefix)]
        for cost, words in COSTS.items():
            cells = [costs[cost] for costs in tables if cost in costs]
            if cells:
                rows.append([f"{space}, {len(cells)} tables, {words}", *_means(cells)])
    rows.append(["all", *_means(every)])
    behind = max(cell[NOISY] - min(cell[rule] for rule in FIXED) for cell in every)
    return (
        "*How should depths be chosen, if readings are good?* Points of accuracy lost to the best network within a budget, the "
        "mean over all budgets, on published tables of networks that others trained (`python -m studies.replay`). "
        "`elastic, noise 0.5` is the choice of the rule `elastic`, fed with readings that are wrong by half a point each; "
        "`greedy` looks at true gains one step ahead.\n\n"
        + table(["space", *RULES], rows)
        + f"\n\nNo fixed rule survives all spaces; the elastic choice is at worst {behind:.2f} points behind the fixed rule "
        "that happens to be the best for a table and a cost."
    )


def _means(cells: list[dict]) -> list[str]:
    return [f"{np.mean([cell[rule] for cell in cells]):.2f}" for rule in RULES]


def fidelity(found: dict) -> str:
    ranked = sorted(found["table"].items(), key=lambda item: -item[1]["correlation_mean"])
    rows = [
        [
            name,
            *(f"{row[key]:.2f}" for key in ("correlation", "correlation_mean", "with_level_mean")),
            f"{row['regret']:.4f}",
        ]
        for name, row in ranked
    ]
    head = [
        "what each stage gains is told by",
        "correlation, one seed's gains",
        "their mean over seeds",
        "with the level of a case",
        "regret, nats",
    ]
    return (
        f"*Are the readings good?* {len(found['elastic'])} cases of `benchmarks/fidelity.py` (CIFAR-10, JPEG copy, widths 4, 8, "
        "16): what stages gain that were really grown, within each case (`python -m studies.fidelity`).\n\n"
        + table(head, rows)
    )


def macro(found: dict) -> str:
    settings = found["settings"]
    return (
        "*And of networks that others trained?* An elastic network of NAS-Bench-Macro's blocks, real widths, on "
        f"{settings['examples']:,} images of CIFAR-10 (JPEG copy), of which a fifth is read, against the table's networks "
        "(`python -m studies.macro`); one seed.\n\n" + _macro_table(found)
    )


def lengths(found: dict) -> str:
    return (
        "The same of other lengths of training, read earlier, of networks whose examples had a state each instead of whole "
        "micro-batches, with statistics of whole images instead of such as training shows them:\n\n"
        + _macro_table(found)
    )


def _macro_table(found: dict) -> str:
    rows = []
    for one in found["tables"]:
        best = min(FIXED, key=one["regret"].__getitem__)
        for read in one["elastic"]:
            rows.append(
                [
                    one["table"],
                    str(read["epochs"]),
                    f"{read['tau_loss']:.2f}",
                    f"{one['tau']['macs']:.2f}",
                    f"{one['tau']['depth']:.2f}",
                    f"{read['regret']:.2f}",
                    f"{one['regret'][best]:.2f} ({best})",
                    f"{100 * read['accuracy_deepest']:.1f}",
                ]
            )
    head = [
        "block types",
        "epochs",
        "Kendall's tau, reading",
        "MACs",
        "depth",
        "regret, reading",
        "best fixed rule",
        "accuracy of the deepest state, %",
    ]
    return table(head, rows)


def comparisons(compared: list[dict]) -> str:
    parts = []
    for one in compared:
        rows = [
            [
                arm["arm"],
                " ".join(str(tuple(seed["depths"])) for seed in arm["seeds"]),
                percent(arm["test_accuracy"]),
                number(arm["first_minus_this"], 1, 100) if arm["first_minus_this"] else "",
                f"{arm['macs']['mean'] / 1e6:.1f}",
                number(arm["search_to_final_work"], 2),
                _reached(arm),
            ]
            for arm in one["arms"]
        ]
        first, seeds = one["arms"][0]["arm"], len(one["arms"][0]["seeds"])
        lossy = " JPEG copy of CIFAR-10." if one["jpeg"] else ""
        changed = " ".join(f"`{change.removeprefix('--config.')}`" for change in one["overrides"])
        head = [
            "arm",
            "depths, by seed",
            "test accuracy, %",
            f"{first} minus this",
            "million MACs",
            "search / final work",
            f"{first} there at",
        ]
        parts.append(f"`{one['config']}`, {seeds} seeds, {changed}.{lossy}\n\n{table(head, rows)}")
    return (
        "*Do whole searches pay?* `jaxstage compare`: everyone within the same budget and with the same total work; a fixed rule "
        "spends all of it on training its depths from scratch. 95 % intervals over seeds, differences in pairs. There at: the "
        "share of that work that the search had spent when its validation accuracy was that row's for the first time.\n\n"
        + "\n\n".join(parts)
    )


def _reached(arm: dict) -> str:
    """How much of an arm's work the first one needs for its accuracy; of older figures that is not known."""
    if arm["first_minus_this"] is None or "reached_at" not in arm:
        return ""
    return number(arm["reached_at"], 2) if arm["reached_at"] else "never"
