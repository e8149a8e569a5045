"""Whether an elastic network says what stages gain, beside other importances: the cases of studies.truth.

    python ../shared/data/prepare.py --only cifar10 --data-dir=DIR
    python -m studies.fidelity --data_dir=DIR --out=studies/results/fidelity.json

The truth of a case, and what the other methods say of it, are those of studies/results/truth.json. Added is
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
from jaxstage.depth_search.rules import RULES
from jaxstage.depth_search.train import trained_state
from jaxstage.depths import with_depth
from jaxstage.devices.cpu.host_memory import use_huge_pages
from jaxstage.files import write_json
from jaxstage.importance.interface import Scores
from jaxstage.report.console import Reporter
from jaxstage.workdir.record import Candidate, Record
from studies import tables
from studies.study import RESULTS, Study, files

TRUTH = RESULTS / "truth.json"
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
        taken out; regret: gain given away by the stage of the highest evidence against the best, nats, the mean.
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


def evidence(cases: list[dict], elastic: dict[str, dict]) -> dict[str, np.ndarray]:
    """What each method says of each stage in each case, {method: (cases, stages)}."""
    starts = [tuple(case["start"]) for case in cases]
    truth, places, found = truth_of(cases), np.arange(len(starts[0])), {}
    for key in elastic[name_of(cases[0])]:
        for way in ("importance", "alone", "response"):
            found[f"elastic, {key}, {way}"] = [elastic[name_of(case)][key][way] for case in cases]
    for method in OTHERS:
        scores = [[Scores(case["scores"][method][which]) for which in ("before", "probe")] for case in cases]
        found[f"{method}, lowest score"] = [-before.values for before, _ in scores]
        found[f"{method}, relative rise"] = [RULES["relative_rise"].weigh(*pair)[0] for pair in scores]
    found["last stage"] = [places for _ in cases]
    found["first stage"] = [-places for _ in cases]
    found["shallowest stage"] = [-np.array(start) for start in starts]
    others = [
        [gain for gain, start, other in zip(truth, starts, cases) if start == mine and other is not case]
        for mine, case in zip(starts, cases)
    ]
    if all(others):
        found["(bound) truth of the other seeds"] = [np.mean(gains, axis=0) for gains in others]
    return {name: np.array(values, np.float64) for name, values in found.items()}


def truth_of(cases: list[dict]) -> np.ndarray:
    """How much lower the loss is when a stage alone has grown than when nothing has, nats, (cases, stages)."""
    told = [case["candidates"] for case in cases]
    stages = range(len(cases[0]["start"]))
    return np.array([[one["longer"]["loss"] - one[f"stage{stage + 1}"]["loss"] for stage in stages] for one in told])


def table(cases: list[dict], elastic: dict[str, dict]) -> dict[str, dict]:
    """{method: agreement} over the cases that there is an elastic reading of."""
    cases = [case for case in cases if name_of(case) in elastic]
    truth, starts = truth_of(cases), [tuple(case["start"]) for case in cases]
    return {name: agreement(values, truth, starts) for name, values in evidence(cases, elastic).items()}


def over_random(evidence: np.ndarray, truth: np.ndarray) -> dict:
    """What the stage of the highest evidence gains over a random stage, nats: the mean over the cases with its
    interval. Stages that are as high are a draw between them."""
    chosen = evidence == evidence.max(axis=1, keepdims=True)
    return tables.bootstrap((chosen * truth).sum(axis=1) / chosen.sum(axis=1) - truth.mean(axis=1))


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
    truth = json.loads(TRUTH.read_text())
    settings, cases = truth["settings"], list(truth["cells"].values())
    kept = json.loads(options.out.read_text())["elastic"] if options.out.exists() else {}
    for case, beginning in itertools.product(cases, options.beginnings):
        done = kept.setdefault(name_of(case), {})
        if beginning in done:
            continue
        changes = {
            key: tuple(value) if isinstance(value, list) else value for key, value in settings["changes"].items()
        }
        changes |= {"seed": case["seed"], "data.dir": options.data_dir, "growth.rule": "elastic"}
        config = load_config(settings["config"], changes)
        done[beginning] = gains(read_case(config, tuple(case["start"]), beginning))
        write_json(options.out, {"elastic": kept})
    found = table(cases, kept)
    write_json(options.out, {"elastic": kept, "table": found})
    for name, row in sorted(found.items(), key=lambda item: -item[1]["correlation_mean"]):
        print(f"{name:76}" + " ".join(f"{key} {value:.{4 if 'regret' in key else 2}f}" for key, value in row.items()))


# What docs/RESULTS.md says of it


def cells(folder: pathlib.Path) -> dict:
    """{truth, elastic}, each by case; empty where either is missing."""
    found = files(folder, "*.json")
    if not {"truth", "fidelity"} <= found.keys():
        return {}
    return {"truth": found["truth"]["cells"], "elastic": found["fidelity"]["elastic"]}


def summarise(found: dict) -> dict[str, dict]:
    """{method: its agreement, and over_random}, the highest correlation with the mean gains first."""
    cases = [case for name, case in found["truth"].items() if name in found["elastic"]]
    agreed, said = table(cases, found["elastic"]), evidence(cases, found["elastic"])
    best = sorted(agreed, key=lambda name: -agreed[name]["correlation_mean"])
    return {name: agreed[name] | {"over_random": over_random(said[name], truth_of(cases))} for name in best}


def verdict(found: dict[str, dict], leave_out: str = "K=8") -> str:
    keys = {
        "correlation": "correlation, one seed's gains",
        "correlation_mean": "their mean over seeds",
        "with_level_mean": "with the level of a case",
        "regret": "regret, nats",
    }
    rows = [
        [name, *(f"{row[key]:.{4 if key == 'regret' else 2}f}" for key in keys), tables.verdict(row["over_random"], 4)]
        for name, row in found.items()
        if leave_out not in name
    ]
    return tables.table(
        ["what each stage gains is told by", *keys.values(), "its stage against a random one, nats"], rows
    )


def details(found: dict[str, dict]) -> str:
    return verdict(found, leave_out="nothing")


STUDY = Study(
    "*Are the readings good?* 25 cases (`python -m studies truth`; CIFAR-10, JPEG copy, widths 4, 8, 16): what stages gain "
    "that were really grown, within each case, against what is said beforehand (`python -m studies fidelity`). *Lowest "
    "score*: of the start; *relative rise*, the paper's rule: of the deeper probe over the start. *Regret*: gain given away "
    "against the best stage, the first of equals; against a random stage equals are a draw between them.",
    cells,
    summarise,
    verdict,
    details,
)


if __name__ == "__main__":
    use_huge_pages()
    main()
