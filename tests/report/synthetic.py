"""Work directories of runs that never were, as fast as files can be written."""
import json
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
        candidates.append({
            "name": name, "role": role, "depths": list(depths), "parent": parent, "parameters": 1_000 * sum(depths),
            "macs": 50_000 * sum(depths), "validation": {"accuracy": accuracy, "loss": 1 - accuracy}, "scores": None,
            "seconds": {"training": 10.0 + sum(depths)} | ({} if role == "final" else {"importance": 2.0}),
            "joules": {"training": 3.6e5}, "separable_macs": 0,
        })  # fmt: skip
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
            {"before": 0.01, "before_error": 0.001, "after": 0.01 + rise, "after_error": 0.001, "rise": 100 * rise,
             "rise_error": 0.1, "grows": rise > 0, "why": "rise above 0" if rise > 0 else "did not rise"}
            for rise in (draw.gauss(0.002, 0.005) for _ in depths)
        ]  # fmt: skip
        grown = [depth + 2 * decision["grows"] for depth, decision in zip(depths, decisions)]
        following = {str(depths): current, str(deeper): probe}.get(str(grown), f"r{number:02d}_grown")
        if following.endswith("grown"):
            add(following, "grown", grown, probe, epochs)
        closed.append({"current": current, "probe": probe, "decisions": decisions, "next": following})
        depths, current = grown, following
    if finished:
        add("final", "final", depths, current, 4 * epochs)
    record = {
        "format": 1, "candidates": candidates, "rounds": closed,
        "stop_reason": f"growth.max_rounds={rounds} reached" if finished else None,
        "test": {"accuracy": 0.9375, "loss": 0.2} if finished else None,
        "seconds": 1.1 * sum(sum(candidate["seconds"].values()) for candidate in candidates),
    }  # fmt: skip
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
        "depths": [8, 10, 6], "widths": [16, 32, 64], "num_classes": 10, "input_shape": [32, 32, 3], "data": "cifar10",
        "parameters": 652_650, "macs": 111_592_064, "separable_macs": 0, **fields,
    }  # fmt: skip
    (workdir / "final" / "architecture.json").write_text(json.dumps(network))
    return workdir


def change(path: pathlib.Path, edit) -> None:
    """Edits a JSON file in place."""
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
