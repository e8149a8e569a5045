"""Which importance tells the truth: what stages are really worth growing, and which method says so beforehand.

    python benchmarks/fidelity.py --preset=tiny     # 2 CPU cores and a C++ compiler, about an hour
    python benchmarks/fidelity.py --preset=gpu      # one GPU
    python benchmarks/fidelity.py --preset=full     # the published scale

A case is a data set, a start (depths) and a seed. Start and probe are trained as in a search, and the methods score
them. Then, all inheriting from the start and trained for equally many epochs, annealed as a final network is: the start
itself once more, and the start with each stage grown alone. The truth about a stage is how much lower the loss on
held-out images is, and how much higher the accuracy, when it grew than when nothing did: longer training is not
mistaken for growth. Where start and probe are compared, so are the start trained on, the control, and the probe, which
then differ in nothing but depth. The methods work on saved checkpoints, so more of them can be added without training
again. See `agreement.py` for the figures.
"""

import functools
import pathlib
import time

import agreement
import grid
import numpy as np
import runs
import summary
from absl import app, flags, logging

from jaxstage import importance
from jaxstage.data import load_train
from jaxstage.depth_search.bench import make_bench
from jaxstage.depth_search.judge import trained
from jaxstage.depth_search.train import trained_state
from jaxstage.devices.cpu.host_memory import use_huge_pages
from jaxstage.importance.ablation import make_skipping_loss
from jaxstage.importance.interface import Scores
from jaxstage.keys import derive
from jaxstage.report.console import Reporter
from jaxstage.run import use_compilation_cache
from jaxstage.workdir.record import Candidate, Record

_PRESET = flags.DEFINE_enum("preset", "tiny", ["tiny", "gpu", "full"], "scale, see the top")
_OUT = flags.DEFINE_string("out", None, "folder of the summary; default: benchmarks/results/fidelity")
_ROOT = flags.DEFINE_string("root", None, "folder of the training runs; default: runs/fidelity/PRESET")
_JOBS = flags.DEFINE_integer("jobs", None, "processes side by side; default: 2 for tiny, else 1")

# What the studies are to confirm, fixed before their seeds were trained: the paper's rule on networks that differ in
# nothing but depth, which a first run on other seeds had brought up, and the rules that need no probe.
HYPOTHESES = (
    f"{agreement.REFERENCE}, {agreement.CONTROL}, relative rise",
    f"{agreement.REFERENCE}, lowest score",
    "(trivial) shallowest stage",
    "(trivial) first stage",
    "(trivial) last stage",
)
STARTS = ((1, 1, 1), (3, 1, 1), (1, 5, 1), (1, 1, 5), (1, 3, 3))
STUDIES = {
    "tiny": {
        "cifar10": {
            # A first run on seeds 0 and 1 is where the first of HYPOTHESES comes from: these are others.
            "config": "configs/cifar10.py:smoke",
            "starts": STARTS,
            "seeds": (2, 3, 4, 5, 6),
            "changes": {
                "data.examples": 18_000,
                "data.validation": 1 / 3,
                "model.widths": (4, 8, 16),
                "candidate.epochs": 6,
                "candidate.schedule": "cosine",
                "final.epochs": 6,
                "growth.step": 2,
                "model.convolutions": "native",
            },
        }
    },
    "gpu": {
        "cifar10": {
            "config": "configs/cifar10.py:fast",
            "starts": (*STARTS, (2, 2, 2), (2, 2, 6)),
            "seeds": (0, 1, 2),
            "changes": {
                "data.validation": 0.3,
                "candidate.epochs": 10,
                "candidate.schedule": "cosine",
                "final.epochs": 10,
                "final.warmup_epochs": 1.0,
            },
        }
    },
    "full": {
        "cifar10": {
            "config": "configs/cifar10.py:full",
            "starts": (*STARTS, (2, 2, 2), (2, 2, 6), (6, 2, 2), (6, 8, 6)),
            "seeds": (0, 1, 2, 3, 4),
            "changes": {
                "data.validation": 0.3,
                "candidate.epochs": 20,
                "candidate.schedule": "cosine",
                "final.epochs": 20,
            },
        }
    },
}
WATCHED = 256  # held-out images that training runs look at after an epoch; the truth is measured on all, once

SIGMAS, SHARES, EXAMPLES = (0.02, 0.05, 0.1), (4, 8, 32), 512
PERTURBATIONS = {
    f"perturbation sigma={sigma:g} K={shares} n={examples}": dict(sigma=sigma, shares=shares, examples=examples)
    for sigma, shares, examples in (
        *((sigma, 8, EXAMPLES) for sigma in SIGMAS),
        (0.05, 4, EXAMPLES),
        (0.05, 32, EXAMPLES),
        (0.05, 8, 128),
    )
}


def open_case(workdir: pathlib.Path, study: dict, start: tuple[int, ...], seed: int, watched: int | None = None):
    """The bench of a case and the record of its candidates, none of them trained.

    Args:
      workdir: of the case.
      study: one of STUDIES.
      start, seed: of the case.
      watched: how many held-out images the bench evaluates on; None: all.
    """
    config = runs.load(study["config"], study["changes"])
    config.seed, config.checkpoint.keep = seed, 1
    use_compilation_cache(config.compilation_cache)
    dataset = load_train(config.data, seed)
    if watched is not None:
        dataset = dataset._replace(validation=dataset.validation.take(slice(watched)))
    bench = make_bench(config, dataset, workdir, Reporter(), stop_signal=lambda: None)
    step = config.growth.step
    grown = lambda *stages: tuple(depth + step * (stage in stages) for stage, depth in enumerate(start))
    stages = range(len(start))
    depths = {"start": start, "longer": start, "probe": grown(*stages)}
    depths |= {f"stage{stage + 1}": grown(stage) for stage in stages}
    candidates = []
    for name, tall in depths.items():
        cost, role = bench.cost_of(tall), name if name in ("start", "probe") else "final"
        parent = None if name == "start" else "start"
        candidates.append(Candidate(name, role, tall, parent, cost.parameters, cost.macs))
    return bench, Record(tuple(candidates))


def train(workdir: pathlib.Path, study: dict, start: tuple[int, ...], seed: int) -> dict:
    """Trains all candidates of a case; {name: {depths, parameters, macs, loss, accuracy, seconds}}, held-out."""
    bench, record = open_case(workdir, study, start, seed, WATCHED)
    seconds = {}
    for candidate in record.candidates:
        before = time.monotonic()
        _, validation = trained_state(bench, record, candidate)
        seconds[candidate.name] = time.monotonic() - before
        record = record.updating(candidate.name, "training", 0.0, validation=validation)
    judge, untold = open_case(workdir, study, start, seed)
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


def score(workdir: pathlib.Path, group: str, study: dict, start: tuple[int, ...], seed: int) -> dict:
    """What a group of methods says of a case that is trained.

    Returns:
      {method: {before, probe: samples of the scores or None, passes: image passes of both, seconds}}; before are those
      of the start, or of the control where the method's name says so; the seconds include compiling.
    """
    bench, record = open_case(workdir.parent, study, start, seed, WATCHED)
    key = derive(bench.key, "importance")
    begin, control, probe = (
        trained(bench, record[name], trained_state(bench, record, record[name])[0])
        for name in ("start", "longer", "probe")
    )
    added = tuple(deep - shallow for shallow, deep in zip(begin.depths, probe.depths))
    results = {}
    for name, measure, comparing, passes in GROUPS[group](len(start), probe.calibration.size):
        looks = {"": begin, f", {agreement.CONTROL}": control} if comparing else {"": None}
        found, seconds = timed(measure, probe if comparing else probe._replace(added=added), key)
        for label, before in looks.items():
            first, more = timed(measure, before, key) if before else (None, 0.0)
            results[name + label] = {
                "before": first,
                "probe": found,
                "passes": passes * (2 if comparing else 1),
                "seconds": seconds + more,
            }
    return results


def timed(measure, trained, key) -> tuple[tuple, float]:
    """The samples of a network's scores, and the seconds that they took."""
    before = time.monotonic()
    samples = measure(trained, key).samples
    return samples, time.monotonic() - before


def perturbations(stages: int, size: int):
    for comparing in (True, False):
        for name, options in PERTURBATIONS.items():
            used = min(options["examples"], size)
            measure = functools.partial(perturbation_on, sigma=options["sigma"], shares=options["shares"], used=used)
            yield name if comparing else f"{name}, added blocks", measure, comparing, (2 * stages + 1) * used


def perturbation_on(trained, key, *, sigma: float, shares: int, used: int) -> Scores:
    """Perturbation on the first `used` calibration images."""
    trained = trained._replace(calibration=trained.calibration.take(slice(used)))
    return importance.perturbation(trained, key, sigma=sigma, shares=shares)


def ablations(stages: int, size: int):
    measure = functools.partial(importance.ablation, shares=8)
    yield "ablation", measure, True, (stages + 1) * size
    yield "ablation, added blocks", measure, False, (stages + 1) * size
    yield "one stage active", one_stage_active, False, (stages + 1) * size


def one_stage_active(trained, key, shares: int = 8) -> Scores:
    """How much lower the loss is with the new blocks of one stage than with no new block at all."""
    import jax

    stages = len(trained.depths)
    loss = jax.jit(make_skipping_loss(trained, shares))
    skips = np.concatenate([~np.eye(stages, dtype=bool), np.ones((1, stages), bool)])
    losses = [
        [loss(trained.variables, skip, trained.calibration, number) for skip in skips] for number in range(shares)
    ]
    losses = np.array(jax.device_get(losses), np.float64)
    return Scores(tuple(map(tuple, (losses[:, -1:] - losses[:, :-1]).tolist())))


def projections(stages: int, size: int):
    yield "pls_vip", importance.pls_vip, True, size


GROUPS = {"perturbation": perturbations, "ablation": ablations, "pls_vip": projections}


def main(_):
    logging.set_verbosity(logging.FATAL)
    preset = _PRESET.value
    root = pathlib.Path(_ROOT.value or f"runs/fidelity/{preset}")
    jobs = _JOBS.value or (2 if preset == "tiny" else 1)
    cases = [
        (f"{name}/{'-'.join(map(str, start))}/seed{seed}", study, start, seed)
        for name, study in STUDIES[preset].items()
        for seed in study["seeds"]
        for start in study["starts"]
    ]
    truths = grid.run([grid.Cell(name, train, case) for name, *case in cases], root, jobs)
    scored = grid.run(
        [grid.Cell(f"{name}/{group}", score, (group, *case)) for group in GROUPS for name, *case in cases], root, jobs
    )
    rows = [
        {
            "data": name.split("/")[0],
            "start": start,
            "seed": seed,
            "candidates": truths[name],
            "scores": {key: value for group in GROUPS for key, value in scored[f"{name}/{group}"].items()},
        }
        for name, _, start, seed in cases
    ]
    batches = {name: runs.load(study["config"], study["changes"]).batch_size for name, study in STUDIES[preset].items()}
    figures = {
        name: agreement.figures([row for row in rows if row["data"] == name], batches[name], HYPOTHESES)
        for name in batches
    }
    settings = {"studies": STUDIES[preset], "batch_sizes": batches, "jobs": jobs}
    out = pathlib.Path(_OUT.value) / f"{preset}.json" if _OUT.value else summary.path("fidelity", preset)
    summary.write(out, preset, settings, {"figures": figures, "cases": rows})
    for name, table in figures.items():
        agreement.show(name, table)
    print(f"summary: {out}")


if __name__ == "__main__":
    use_huge_pages()
    app.run(main)
