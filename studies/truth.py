"""What stages are really worth growing, and what scores say of it beforehand: the cases of studies.fidelity.

    python -m studies truth --data_dir=DIR --out=studies/results/truth.json     # 2 CPU cores and a C++ compiler

A case is a start (depths) and a seed. Start and probe, every stage deeper, are trained as in a search, and the methods
score them. Then, all inheriting from the start and trained for equally many epochs, annealed as a final network is: the
start itself once more, and the start with each stage grown alone. The truth about a stage is how much lower the loss on
held-out images is when it grew than when nothing did: longer training is not mistaken for growth. The same command goes
on where it stopped.
"""

import functools
import pathlib
import time

from jaxstage import importance
from jaxstage.config import load
from jaxstage.data import load_train
from jaxstage.depth_search.bench import make_bench
from jaxstage.depth_search.judge import trained
from jaxstage.depth_search.train import trained_state
from jaxstage.devices.caches import use_compilation_cache
from jaxstage.importance.interface import Scores, Trained
from jaxstage.keys import derive
from jaxstage.report.console import Reporter
from jaxstage.workdir.record import Candidate, Record
from studies.study import measure, measuring_options

CONFIG = "configs/cifar10.py:smoke"
STARTS = ((1, 1, 1), (3, 1, 1), (1, 5, 1), (1, 1, 5), (1, 3, 3))
SEEDS = (2, 3, 4, 5, 6)  # 0 and 1 were looked at before the study
CHANGES = {
    "data.examples": 18_000,
    "data.validation": 1 / 3,
    "model.widths": (4, 8, 16),
    "candidate.epochs": 6,
    "candidate.schedule": "cosine",
    "final.epochs": 6,
    "growth.step": 2,
    "convolutions": "native",
}
WATCHED = 256  # held-out images that training runs look at after an epoch; the truth is measured on all, once
EXAMPLES = 512


def perturbation(trained: Trained, key, *, shares: int) -> Scores:
    """Perturbation on the first EXAMPLES calibration images."""
    trained = trained._replace(calibration=trained.calibration.take(slice(EXAMPLES)))
    return importance.perturbation(trained, key, sigma=0.05, shares=shares)


METHODS = {
    **{f"perturbation sigma=0.05 K={k} n={EXAMPLES}": functools.partial(perturbation, shares=k) for k in (32, 8)},
    "ablation": functools.partial(importance.ablation, shares=8),
    "pls_vip": importance.pls_vip,
}


def open_case(workdir: pathlib.Path, config, start: tuple[int, ...], watched: int | None = None):
    """The bench of a case and the record of its candidates, none of them trained.

    Args:
      workdir: of the case.
      config: with the case's seed.
      start: depths.
      watched: how many held-out images training evaluates on; None: all.
    """
    config.checkpoint.keep = 1
    use_compilation_cache(config.compilation_cache)
    dataset = load_train(config.data, config.seed)
    if watched is not None:
        dataset = dataset._replace(validation=dataset.validation.take(slice(watched)))
    bench = make_bench(config, dataset, workdir, Reporter(), stop_signal=lambda: None)
    step, stages = config.growth.step, range(len(start))
    grown = lambda *grows: tuple(depth + step * (stage in grows) for stage, depth in enumerate(start))
    depths = {"start": start, "longer": start, "probe": grown(*stages)}
    depths |= {f"stage{stage + 1}": grown(stage) for stage in stages}
    candidates = []
    for name, tall in depths.items():
        cost, role = bench.cost_of(tall), name if name in ("start", "probe") else "final"
        parent = None if name == "start" else "start"
        candidates.append(Candidate(name, role, tall, parent, cost.parameters, cost.macs))
    return bench, Record(tuple(candidates))


def train(workdir: pathlib.Path, config, start: tuple[int, ...]) -> dict[str, dict]:
    """Trains all candidates of a case; {name: {depths, parameters, macs, seconds, loss, accuracy}}, held-out."""
    bench, record = open_case(workdir, config, start, WATCHED)
    seconds = {}
    for candidate in record.candidates:
        before = time.monotonic()
        _, validation = trained_state(bench, record, candidate)
        seconds[candidate.name] = time.monotonic() - before
        record = record.updating(candidate.name, "training", 0.0, validation=validation)
    judge, untold = open_case(workdir, config, start)
    return {
        c.name: {
            "depths": c.depths,
            "parameters": c.parameters,
            "macs": c.macs,
            "seconds": seconds[c.name],
            **trained_state(judge, untold, c)[1],
        }
        for c in untold.candidates
    }


def score(workdir: pathlib.Path, config, start: tuple[int, ...]) -> dict[str, dict]:
    """What the methods say of a case that is trained: {method: {before, probe}}, samples of the scores of both."""
    bench, record = open_case(workdir, config, start, WATCHED)
    key = derive(bench.key, "importance")
    begin, probe = (
        trained(bench, record[name], trained_state(bench, record, record[name])[0]) for name in ("start", "probe")
    )
    return {
        name: {"before": method(begin, key).samples, "probe": method(probe, key).samples}
        for name, method in METHODS.items()
    }


def case(workdir: pathlib.Path, config_file: str, changes: dict, start: tuple[int, ...], seed: int) -> dict:
    """Trains and scores: {start, seed, candidates, scores}."""
    config = functools.partial(load, config_file, {**changes, "seed": seed})
    candidates = train(workdir, config(), start)
    return {"start": start, "seed": seed, "candidates": candidates, "scores": score(workdir, config(), start)}


def main(arguments: list[str] | None = None) -> None:
    options = measuring_options(__doc__, "runs/truth", arguments)
    cells = {}
    for seed in SEEDS:
        for start in STARTS:
            name = f"{'-'.join(map(str, start))} seed {seed}"
            workdir = options.root / name.replace(" ", "-")
            cells[name] = functools.partial(
                case, workdir, CONFIG, CHANGES | {"data.dir": options.data_dir}, start, seed
            )
    measure(options.out, {"config": CONFIG, "changes": CHANGES, "starts": STARTS, "seeds": SEEDS}, cells)
