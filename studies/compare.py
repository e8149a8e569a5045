"""What `jaxstage compare` found where it was run: whole searches beside fixed rules, files compare_*.json."""

import pathlib

from studies import tables
from studies.study import Study, files

PILOT = "pilot_cifar10"  # depths of equal MACs, trained from scratch


def cells(folder: pathlib.Path) -> dict[str, dict]:
    """What each comparison left, by file, and the pilot's runs."""
    return files(folder, "compare_*.json") | files(folder, f"{PILOT}.json")


def summarise(found: dict[str, dict]) -> dict:
    """{comparisons: as they were kept, with intervals already; pilot: {depths: {seed: accuracy}}}."""
    pilot: dict[tuple, dict[int, float]] = {}
    for run in found.get(PILOT, {"runs": []})["runs"]:
        if run["rule"] == "given" and run["final_epochs"] == 15:
            pilot.setdefault(tuple(run["depths"]), {})[run["seed"]] = run["test_accuracy"]
    return {"comparisons": [one for name, one in found.items() if name != PILOT], "pilot": pilot}


def verdict(found: dict) -> str:
    return "\n\n".join(map(_comparison, found["comparisons"]))


def _comparison(one: dict) -> str:
    first = one["arms"][0]["arm"]
    head = ["arm", "depths, by seed", "test accuracy, %", "million MACs", f"{first} against this, points"]
    rows = [
        [
            arm["arm"],
            " ".join(str(tuple(seed["depths"])) for seed in arm["seeds"]),
            tables.percent(arm["test_accuracy"]),
            f"{arm['macs']['mean'] / 1e6:.1f}",
            tables.verdict(arm["first_minus_this"], 1, 100),
        ]
        for arm in one["arms"]
    ]
    return f"{_title(one)}\n\n{tables.table(head, rows)}"


def _title(one: dict) -> str:
    changed = " ".join(f"`{change.removeprefix('--config.')}`" for change in one["overrides"])
    lossy = " JPEG copy of CIFAR-10." if one["jpeg"] else ""
    measured = f" Measured {one['measured']}." if "measured" in one else ""
    return f"`{one['config']}`, {len(one['arms'][0]['seeds'])} seeds, {changed}.{lossy}{measured}"


def details(found: dict) -> str:
    """What the searches cost, and the pilot."""
    parts = [
        "There at: the share of an arm's work that the search had spent when its validation accuracy was that arm's for "
        "the first time."
    ]
    for one in found["comparisons"]:
        first = one["arms"][0]["arm"]
        head = ["arm", "validation accuracy, %", "parameters", "search / final work", f"{first} there at"]
        rows = [
            [
                arm["arm"],
                tables.percent(arm["validation_accuracy"]),
                tables.number(arm["parameters"], 0),
                tables.number(arm["search_to_final_work"]),
                _reached(arm),
            ]
            for arm in one["arms"]
        ]
        parts.append(f"{_title(one)}\n\n{tables.table(head, rows)}")
    if found["pilot"]:
        rows = [
            [
                str(depths),
                ", ".join(f"{100 * one:.1f}" for one in seeds.values()),
                f"{100 * sum(seeds.values()) / len(seeds):.1f}",
            ]
            for depths, seeds in found["pilot"].items()
        ]
        parts.append(
            "A pilot: CIFAR-10 (JPEG copy), 12,000 images, widths 8, 16, 32, batch 64, 15 epochs from scratch, "
            "nine blocks of equal MACs.\n\n" + tables.table(["depths", "test accuracy by seed, %", "mean"], rows)
        )
    return "\n\n".join(parts)


def _reached(arm: dict) -> str:
    """Of older figures it is not known."""
    if arm["first_minus_this"] is None or "reached_at" not in arm:
        return ""
    return tables.number(arm["reached_at"]) if arm["reached_at"] else "never"


STUDY = Study(
    "*Do whole searches pay?* `jaxstage compare`: everyone within the same budget and with the same total work; a fixed rule "
    "spends all of it on training its depths from scratch. Intervals are over seeds, differences in pairs.",
    cells,
    summarise,
    verdict,
    details,
)
