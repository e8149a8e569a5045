"""Whether an elastic network says what stages gain, beside all other importances: the cases of benchmarks/fidelity.py.

    python ../shared/data/prepare.py --only cifar10 --data-dir=DIR
    python -m studies.fidelity --data_dir=DIR --out=studies/results/fidelity.json

The truth of a case, and what the other methods say of it, are those of benchmarks/results/fidelity/tiny.json. Added is
one elastic network a case, from the start's depths to those with growth.step blocks more at every stage, trained as the
probe was and read on the held-out images, each stage with its new blocks and without. It begins from the start as
trained (`trained start`), or from nothing and trains for the epochs of both (`from nothing`, as the first round of an
elastic search does).

What a stage gains is, by the reading: `importance`, the mean over the states of the other stages; `alone`, where these
stay as they were; `response`, by the fit. Cases are kept one by one, so that the same command goes on where it stopped.
"""

import argparse
import itertools
import json
import pathlib
import tempfile

import numpy as np

from jaxstage.config import load as load_config
from jaxstage.data import load_train
from jaxstage.depth_search import reading
from jaxstage.depth_search.bench import make_bench
from jaxstage.depth_search.reading import Reading
from jaxstage.depth_search.response import fit
from jaxstage.depth_search.train import trained_state
from jaxstage.depths import with_depth
from jaxstage.devices.cpu.host_memory import use_huge_pages
from jaxstage.files import write_json
from jaxstage.importance.interface import Scores
from jaxstage.report.console import Reporter
from jaxstage.workdir.record import Candidate, Record

TRUTH = pathlib.Path(__file__).parents[1] / "benchmarks/results/fidelity/tiny.json"
BEGINNINGS = ("trained start", "from nothing")
OTHERS = ("perturbation sigma=0.05 K=32 n=512", "perturbation sigma=0.05 K=8 n=512", "pls_vip", "ablation")


def read_case(config, start: tuple[int, ...], beginning: str) -> Reading:
    """Trains the elastic network of a case and reads its states, each stage with its new blocks and without."""
    dataset, nothing = load_train(config.data, config.seed), beginning == "from nothing"
    config.candidate.epochs *= 2 if nothing else 1
    with tempfile.TemporaryDirectory() as workdir:
        bench = make_bench(config, dataset, pathlib.Path(workdir), Reporter(), stop_signal=lambda: None)
        upper = tuple(depth + config.growth.step for depth in start)
        first = Candidate("start", "start", start, None, 0, 0)
        network = Candidate("micro", "elastic", upper, None if nothing else "start", 0, 0, lower=start)
        state, _ = trained_state(bench, Record((first, network)), network)
        return reading.read(
            bench.programs.module_on_one_device(upper),
            state.variables,
            list(itertools.product(*zip(start, upper))),
            dataset.validation,
            bench.statistics_of(),
            dataset.normalization,
        )


def gains(read: Reading) -> dict[str, list[float]]:
    """What each stage gains, in nats, in the ways that a reading tells it; `errors` of the first."""
    losses = dict(zip(read.states, read.losses.mean(axis=1)))
    lower, upper = read.states[0], read.states[-1]
    grown = [with_depth(lower, stage, top) for stage, top in enumerate(upper)]
    importance, errors = read.importance()
    response = fit(read.states, list(losses.values()), read.errors())
    return {
        "importance": importance.tolist(),
        "alone": [losses[lower] - losses[one] for one in grown],
        "response": [response.loss(lower) - response.loss(one) for one in grown],
        "errors": errors.tolist(),
    }


def agreement(evidence: np.ndarray, truth: np.ndarray, starts: list[tuple]) -> dict[str, float]:
    """How well evidence agrees with gains, both (cases, stages).

    Returns:
      correlation: Pearson's, over all stages of all cases, with what is common to a case taken out of both;
      correlation_mean: the same with the mean gains of the start's seeds; with_level, with_level_mean: with nothing
        taken
      out; regret: gain given away by the stage of the highest evidence against the best, nats, the mean.
    """
    same = np.array([[one == other for other in starts] for one in starts], np.float64)
    mean = same @ truth / same.sum(axis=1, keepdims=True)
    within = lambda values: values - values.mean(axis=1, keepdims=True)
    correlate = lambda a, b: float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) if np.ptp(a) else 0.0
    picked = evidence.argmax(axis=1)[:, None]
    given_away = lambda gains: float(np.mean(gains.max(axis=1) - np.take_along_axis(gains, picked, 1)[:, 0]))
    return {
        "correlation": correlate(within(evidence), within(truth)),
        "correlation_mean": correlate(within(evidence), within(mean)),
        "with_level": correlate(evidence, truth),
        "with_level_mean": correlate(evidence, mean),
        "regret": given_away(truth),
        "regret_mean": given_away(mean),
    }


def table(cases: list[dict], elastic: dict[str, dict]) -> dict[str, dict]:
    """{method: agreement} over the cases that there is an elastic reading of."""
    cases = [case for case in cases if name_of(case) in elastic]
    starts = [tuple(case["start"]) for case in cases]
    told = [case["candidates"] for case in cases]
    stages = range(len(starts[0]))
    truth = np.array([[one["longer"]["loss"] - one[f"stage{stage + 1}"]["loss"] for stage in stages] for one in told])
    found = {}
    for key in elastic[name_of(cases[0])]:
        for way in ("importance", "alone", "response"):
            found[f"elastic, {key}, {way}"] = [elastic[name_of(case)][key][way] for case in cases]
    for method in OTHERS:
        before = [Scores(case["scores"][method]["before"]).values for case in cases]
        found[f"{method}, lowest score"] = [-values for values in before]
    found["last stage"] = [np.arange(len(stages)) for _ in cases]
    found["first stage"] = [-np.arange(len(stages)) for _ in cases]
    found["shallowest stage"] = [-np.array(start) for start in starts]
    rows = list(zip(truth, starts, cases))
    others = [[row for row, start, other in rows if start == mine and other is not case] for _, mine, case in rows]
    if all(others):
        found["(bound) truth of the other seeds"] = [np.mean(rows, axis=0) for rows in others]
    return {name: agreement(np.array(values, np.float64), truth, starts) for name, values in found.items()}


def name_of(case: dict) -> str:
    return f"{'-'.join(map(str, case['start']))} seed {case['seed']}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", metavar="DIR", help="where CIFAR-10 lies as a TFDS set")
    parser.add_argument("--beginnings", nargs="+", choices=BEGINNINGS, default=BEGINNINGS)
    parser.add_argument(
        "--out", metavar="FILE", type=pathlib.Path, required=True, help="where figures are kept as JSON"
    )
    options = parser.parse_args(arguments)
    summary = json.loads(TRUTH.read_text())
    study, cases = summary["settings"]["studies"]["cifar10"], summary["results"]["cases"]
    kept = json.loads(options.out.read_text())["elastic"] if options.out.exists() else {}
    for case, beginning in itertools.product(cases, options.beginnings):
        done = kept.setdefault(name_of(case), {})
        if beginning in done:
            continue
        changes = {key: tuple(value) if isinstance(value, list) else value for key, value in study["changes"].items()}
        changes |= {"seed": case["seed"], "data.dir": options.data_dir, "growth.rule": "elastic"}
        config = load_config(study["config"], changes)
        done[beginning] = gains(read_case(config, tuple(case["start"]), beginning))
        write_json(options.out, {"elastic": kept})
    found = table(cases, kept)
    write_json(options.out, {"elastic": kept, "table": found})
    for name, row in sorted(found.items(), key=lambda item: -item[1]["correlation_mean"]):
        print(f"{name:76}" + " ".join(f"{key} {value:.{4 if 'regret' in key else 2}f}" for key, value in row.items()))


if __name__ == "__main__":
    use_huge_pages()
    main()
