"""Work directories of runs that never were, as fast as files can be written."""

import itertools
import json
import math
import pathlib
import random

from jaxstage.config import default, plain


def write_run(workdir: pathlib.Path, rounds: int, *, finished: bool = True, epochs: int = 3, **config) -> pathlib.Path:
    """A search over `rounds` rounds of three stages; `config` are keys to change, with __ for the dot."""
    workdir.mkdir(parents=True)
    draw = random.Random(0)
    depths, current, candidates, closed, lines = [2, 2, 2], "r00_start", [], [], []

    def add(name, role, depths, parent, epochs):
        accuracy = 1 - 0.5 / (1 + 0.2 * len(candidates))
        candidates.append(
            {
                "name": name,
                "role": role,
                "depths": list(depths),
                "parent": parent,
                "parameters": 1_000 * sum(depths),
                "macs": 50_000 * sum(depths),
                "validation": {"accuracy": accuracy, "loss": 1 - accuracy},
                "scores": None,
                "seconds": {"training": 10.0 + sum(depths)} | ({} if role == "final" else {"importance": 2.0}),
                "joules": {"training": 3.6e5},
                "separable_macs": 0,
            }
        )
        for step in range(10, 100 * epochs + 1, 10):
            value = accuracy - 0.3 / step + draw.gauss(0, 0.002)
            line = {"candidate": name, "step": step, "accuracy": value, "loss": 1.01 - value}
            lines.append({**line, "split": "train"})
            if step % 100 == 0:
                lines.append({**line, "split": "validation"})

    add(current, "start", depths, None, epochs)
    for number in range(1, rounds + 1):
        deeper, probe = [depth + 2 for depth in depths], f"r{number:02d}_probe"
        add(probe, "probe", deeper, current, epochs)
        decisions = [
            {
                "before": 0.01,
                "before_error": 0.001,
                "after": 0.01 + rise,
                "after_error": 0.001,
                "rise": 100 * rise,
                "rise_error": 0.1,
                "grows": rise > 0,
                "why": "rise above 0" if rise > 0 else "did not rise",
            }
            for rise in (draw.gauss(0.002, 0.005) for _ in depths)
        ]
        grown = [depth + 2 * decision["grows"] for depth, decision in zip(depths, decisions)]
        following = {str(depths): current, str(deeper): probe}.get(str(grown), f"r{number:02d}_grown")
        if following.endswith("grown"):
            add(following, "grown", grown, probe, epochs)
        closed.append({"current": current, "probe": probe, "decisions": decisions, "next": following})
        depths, current = grown, following
    if finished:
        add("final", "final", depths, current, 4 * epochs)
    return _write(workdir, candidates, closed, lines, finished, config)


def write_elastic_run(
    workdir: pathlib.Path,
    rounds: int = 2,
    *,
    finished: bool = True,
    step: int = 2,
    most_read: int | None = None,
    latency: bool = False,
    **config,
) -> pathlib.Path:
    """An elastic search: each round reads the states of a network `step` blocks deeper in every stage, and goes to one.

    Args:
      most_read: states that are read in a round; None: all.
      latency: whether there is a table of block latencies.
    """
    workdir.mkdir(parents=True)
    draw, costs = random.Random(0), {**COSTS, **({"latency_ms": _latency} if latency else {})}
    depths, current, closed = (1, 1, 1), "r00_start", []
    candidates = [_candidate(current, "start", depths, None)]
    for number in range(1, rounds + 1):
        name, following = f"r{number:02d}_elastic", f"r{number:02d}_chosen"
        upper = tuple(depth + step for depth in depths)
        found = _found(depths, upper, costs, draw, most_read)
        chosen = tuple(found["chosen"])
        spent = {"seconds": {"training": 60.0, "importance": 4.0}, "joules": {"training": 3.6e5}}
        parent = current if number > 1 else None
        elastic = _candidate(name, "elastic", upper, parent, steps=600, lower=list(depths), found=found, **spent)
        candidates += [elastic, _candidate(following, "chosen", chosen, name)]
        decisions = [_decision(*stage) for stage in zip(found["importance"], depths, chosen)]
        closed.append({"current": current, "probe": name, "decisions": decisions, "next": following})
        depths, current = chosen, following
    if finished:
        spent = {"seconds": {"training": 90.0}, "joules": {"training": 3.6e5}}
        candidates.append(_candidate("final", "final", depths, current, steps=1200, **spent))
    lines = [line for candidate in candidates for line in _curve(candidate)]
    return _write(workdir, candidates, closed, lines, finished, {"growth__rule": "elastic", **config})


COSTS = {
    "macs": lambda depths: 4_000_000 * depths[0] + 2_400_000 * depths[1] + 1_900_000 * depths[2],
    "parameters": lambda depths: 4_600 * depths[0] + 18_000 * depths[1] + 73_000 * depths[2],
}


def _latency(depths: tuple[int, ...]) -> float:
    return 0.3 + 0.21 * sum(depths) + 0.1 * depths[0]


def _gain(stage: int, block: int) -> float:
    """Nats: of the second block of each stage, and half as much of every further one."""
    return (0.09, 0.16, 0.05)[stage] * 0.5 ** (block - 2)


def _loss(depths: tuple[int, ...]) -> float:
    return 1.4 - sum(_gain(stage, block) for stage, depth in enumerate(depths) for block in range(2, depth + 1))


def _accuracy(loss: float) -> float:
    return round(math.exp(-0.6 * loss), 4)


def _candidate(name: str, role: str, depths: tuple[int, ...], parent: str | None, **fields) -> dict:
    return {
        "name": name,
        "role": role,
        "depths": list(depths),
        "lower": None,
        "parent": parent,
        "scores": None,
        "parameters": COSTS["parameters"](depths),
        "macs": COSTS["macs"](depths),
        "separable_macs": 0,
        "validation": {"loss": _loss(depths), "accuracy": _accuracy(_loss(depths))},
        "steps": None,
        "seconds": {},
        "joules": {},
        "found": None,
        **fields,
    }


def _curve(candidate: dict):
    """The lines of metrics.jsonl of a candidate's training."""
    for step in range(100, (candidate["steps"] or 0) + 1, 100):
        line = {"candidate": candidate["name"], "step": step, "accuracy": 0.5 - 10 / step, "loss": 1.4 + 20 / step}
        yield from ({**line, "split": split} for split in ("train", "validation"))


def _found(lower: tuple, upper: tuple, costs: dict, draw: random.Random, most_read: int | None) -> dict:
    """What an elastic network between these depths says."""
    between = list(itertools.product(*(range(low, high + 1) for low, high in zip(lower, upper))))
    apart = max(1, len(between) // (most_read or len(between)))
    read = dict.fromkeys((between[0], *between[::apart], between[-1]))
    states = [
        {
            "depths": list(depths),
            "loss": _loss(depths) + draw.gauss(0, 0.006),
            "error": 0.006,
            "accuracy": _accuracy(_loss(depths)),
            "latency_ms": None,
            "fitted": _loss(depths),
            **{name: cost(depths) for name, cost in costs.items()},
        }
        for depths in read
    ]
    ends = enumerate(zip(lower, upper))
    gains = [[_gain(stage, block) for block in range(low + 1, high + 1)] for stage, (low, high) in ends]
    frontiers = {name: _frontier(between, cost, read) for name, cost in costs.items()}
    line = frontiers["macs"]
    return {
        "states": states,
        "response": {
            "lower": list(lower),
            "level": _loss(lower),
            "gains": gains,
            "gain_errors": [[0.003 for _ in of_stage] for of_stage in gains],
        },
        "importance": list(map(sum, gains)),
        "importance_errors": [0.002 for _ in gains],
        "frontier": frontiers,
        "chosen": line[len(line) * 2 // 3]["depths"],
        "why": "along the frontier of loss against macs while it pays",
    }


def _frontier(between: list[tuple], cost, read: dict) -> list[dict]:
    line = []
    for depths in sorted(between, key=lambda depths: (cost(depths), _loss(depths))):
        loss = _loss(depths)
        if not line or loss < line[-1]["loss"] - 1e-9:
            accuracy = _accuracy(loss) if depths in read else None
            line.append({"depths": list(depths), "cost": cost(depths), "loss": loss, "accuracy": accuracy})
    return line


def _decision(importance: float, old: int, new: int) -> dict:
    return {
        "before": None,
        "before_error": None,
        "after": importance,
        "after_error": 0.002,
        "rise": None,
        "rise_error": None,
        "grows": new > old,
        "why": "is worth it" if new > old else "is not worth it",
    }


def _write(workdir: pathlib.Path, candidates, rounds, lines, finished: bool, config: dict) -> pathlib.Path:
    record = {
        "format": 1,
        "candidates": candidates,
        "rounds": rounds,
        "stop_reason": f"growth.max_rounds={len(rounds)} reached" if finished else None,
        "test": {"accuracy": 0.9375, "loss": 0.2} if finished else None,
        "seconds": 1.1 * sum(sum(candidate["seconds"].values()) for candidate in candidates),
    }
    settings = default()
    with settings.unlocked():
        settings.update_from_flattened_dict({key.replace("__", "."): value for key, value in config.items()})
    (workdir / "config.json").write_text(json.dumps(plain(settings)))
    (workdir / "search.json").write_text(json.dumps(record))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return workdir


def write_network(workdir: pathlib.Path, **fields) -> pathlib.Path:
    """The work directory of an imported network."""
    (workdir / "final").mkdir(parents=True)
    network = {
        "family": "resnet",
        "depths": [8, 10, 6],
        "widths": [16, 32, 64],
        "num_classes": 10,
        "input_shape": [32, 32, 3],
        "data": "cifar10",
        "class_names": [str(number) for number in range(10)],
        "normalization": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "model": {**plain(default().model), "depths": [8, 10, 6]},
        "weights_sha256": 64 * "0",
        "parameters": 652_650,
        "macs": 111_592_064,
        "separable_macs": 0,
        **fields,
    }
    (workdir / "final" / "architecture.json").write_text(json.dumps(network))
    return workdir


def change(path: pathlib.Path, edit) -> None:
    """Edits a JSON file in place."""
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
