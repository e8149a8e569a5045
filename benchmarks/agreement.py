"""How well importance methods agree with the truth: do they name the best stage, and do stages pay that they grow?

Pure functions of the cases that `fidelity.py` measures. The gain of a stage is that of growing it alone over training
on without growing: `loss`, by how much the held-out loss is lower, in nats; `accuracy`, by how much more is right.
"""

import numpy as np
import scipy.stats
import summary

from jaxstage.depth_search.rules import RULES
from jaxstage.importance.interface import Scores

RESAMPLES = 2_000
MARGINS = (0.0, 1.0, 2.0)
CONTROL = "control"  # in a method's name: the probe is compared with the start trained on for as long
REFERENCE = "perturbation sigma=0.05 K=8 n=512"  # the method as it is by default


def figures(cases: list[dict], batch_size: int, hypotheses: tuple[str, ...]) -> dict:
    """All figures of one data set.

    Args:
      cases: rows with start, seed, candidates and scores, see `fidelity.main`.
      batch_size: of a training step, the unit of the methods' cost.
      hypotheses: the readings that were named before the study.

    Returns:
      cases: how many; best_is_best_per_mac: in how many the same stage gains most in all and for each added MAC;
      gain: {loss, accuracy} of a stage, all cases; repeatable: see `repeatable`; luck: see `luck`, of all methods;
      hypotheses: {name: {over_random_loss, p, corrected}}, the same of each alone, and its p by Holm among them;
      ranking: {method: see `ranking`}; growing: {method: see `growing`}.
    """
    gains = [gains_of(case) for case in cases]
    evidence = [{**evidence_of(case), **trivial(case)} for case in cases]
    for case, found, own in zip(cases, evidence, gains):
        others = [g["loss"] for c, g in zip(cases, gains) if c["start"] == case["start"] and c["seed"] != case["seed"]]
        found["(bound) truth of the other seeds"] = (np.mean(others, axis=0) if others else 0 * own["loss"], None)
    same = sum(np.argmax(own["loss"]) == np.argmax(own["loss"] / own["macs"]) for own in gains)
    # A level of whole stages is always above 0, and an absolute rise is where the relative one is.
    judged = [
        name
        for name, (_, errors) in evidence[0].items()
        if errors is not None and not name.endswith(("level", "absolute rise"))
    ]
    return {
        "cases": len(cases),
        "best_is_best_per_mac": int(same),
        "gain": {kind: interval([own[kind].mean() for own in gains]) for kind in ("loss", "accuracy")},
        "repeatable": repeatable([tuple(case["start"]) for case in cases], gains),
        "luck": luck([name for name in evidence[0] if not name.startswith("(")], evidence, gains),
        "hypotheses": holm({name: luck([name], evidence, gains) for name in hypotheses}),
        "ranking": {
            name: {**ranking([found[name][0] for found in evidence], gains), **cost(name, cases, batch_size)}
            for name in evidence[0]
        },
        "growing": {
            f"{name} > {margin:g} errors": growing([found[name] for found in evidence], gains, margin)
            for name in judged
            for margin in MARGINS
        },
    }


def gains_of(case: dict) -> dict[str, np.ndarray]:
    """True gain of every stage, {loss, accuracy, macs (those added)}, each float64 (stages,)."""
    told = case["candidates"]
    longer, grown = told["longer"], [told[f"stage{stage + 1}"] for stage in range(len(case["start"]))]
    return {
        "loss": np.array([longer["loss"] - one["loss"] for one in grown]),
        "accuracy": np.array([one["accuracy"] - longer["accuracy"] for one in grown]),
        "macs": np.array([one["macs"] - longer["macs"] for one in grown], np.float64),
    }


def evidence_of(case: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What every method says for growing each stage, (values, errors), in all the ways to read its scores."""
    found = {}
    for method, samples in case["scores"].items():
        after = Scores(samples["probe"])
        if samples["before"] is None:
            found[method] = (after.values, after.errors)
            continue
        before = Scores(samples["before"])
        found |= readings(method, before, after)
        if method.startswith("perturbation"):
            depths = case["candidates"]["start"]["depths"], case["candidates"]["probe"]["depths"]
            per_block = (Scores(np.array(scores.samples) / depth) for scores, depth in zip((before, after), depths))
            found |= readings(f"{method}, per block", *per_block)
    return found


def readings(method: str, before: Scores, after: Scores) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rises = ("relative_rise", "absolute_rise")
    found = {f"{method}, {rule.replace('_', ' ')}": RULES[rule].weigh(before, after) for rule in rises}
    if CONTROL in method:  # which changes a comparison alone
        return found
    lowest = RULES["lowest_score"].weigh(before, None)
    return {**found, f"{method}, level": (after.values, after.errors), f"{method}, lowest score": lowest}


def trivial(case: dict) -> dict[str, tuple[np.ndarray, None]]:
    """Rules that need no measurement."""
    places = np.arange(len(case["start"]), dtype=np.float64)
    return {
        "(trivial) random": (0 * places, None),
        "(trivial) first stage": (-places, None),
        "(trivial) last stage": (places, None),
        "(trivial) shallowest stage": (-np.array(case["start"], np.float64), None),
    }


def ranking(evidence: list[np.ndarray], gains: list[dict]) -> dict:
    """How well the stage of the highest evidence is chosen, of each case; ties count as a draw between them.

    Returns:
      top1, top1_per_mac: share of the cases in which it gains most; spearman: rank correlation with the gains, mean;
      regret_loss, regret_accuracy: gain given away against the best stage; over_random_loss: gain over a random stage.
      Each with its bootstrap interval.
    """
    columns = {
        "top1": [],
        "top1_per_mac": [],
        "spearman": [],
        "regret_loss": [],
        "regret_accuracy": [],
        "over_random_loss": [],
    }
    for values, own in zip(evidence, gains):
        chosen = (values == values.max()) / np.sum(values == values.max())
        best = lambda gain: gain == gain.max()
        columns["top1"].append(chosen @ best(own["loss"]))
        columns["top1_per_mac"].append(chosen @ best(own["loss"] / own["macs"]))
        columns["spearman"].append(scipy.stats.spearmanr(values, own["loss"]).statistic if np.ptp(values) else 0.0)
        columns["regret_loss"].append(own["loss"].max() - chosen @ own["loss"])
        columns["regret_accuracy"].append(own["accuracy"].max() - chosen @ own["accuracy"])
        columns["over_random_loss"].append(chosen @ own["loss"] - own["loss"].mean())
    return {name: interval(values) for name, values in columns.items()}


def growing(evidence: list[tuple[np.ndarray, np.ndarray]], gains: list[dict], margin: float) -> dict:
    """Whether the stages that would grow, on evidence above `margin` errors, are the ones for which it pays.

    Returns:
      grown: share of stages that grow; right: share where they grow if and only if they gain; gain_grown, gain_left:
      mean gain in loss of either kind, None where there is none; difference: between them, with its interval;
      difference_within: the same of gains less the mean of their case, so that it is about stages and not about cases
      in which everything gains.
    """
    grows = np.array([values > margin * errors for values, errors in evidence], np.float64)
    gain = np.array([own["loss"] for own in gains])
    mean = lambda gain, which: float(gain[which].mean()) if which.any() else None

    def difference(rows):
        grown = rows[:, 0] > 0
        return np.nan if grown.all() or not grown.any() else rows[:, 1][grown].mean() - rows[:, 1][~grown].mean()

    some = 0 < grows.sum() < grows.size
    compare = lambda gain: summary.bootstrap(np.stack([grows, gain], axis=1), difference, RESAMPLES) if some else None
    return {
        "grown": interval(grows.mean(axis=1)),
        "right": interval(np.mean((grows > 0) == (gain > 0), axis=1)),
        "gain_grown": mean(gain, grows > 0),
        "gain_left": mean(gain, grows == 0),
        "difference": compare(gain),
        "difference_within": compare(gain - gain.mean(axis=1, keepdims=True)),
    }


def repeatable(starts: list[tuple], gains: list[dict]) -> dict:
    """Whether the seeds of a start agree on which stage gains more than the others: an F test of start and stage.

    Returns:
      {f, p}; where p is not small the truth itself is noise, and no method can be told from another by it.
    """
    centred = np.array([own["loss"] - own["loss"].mean() for own in gains])
    groups = [centred[[start == other for other in starts]] for start in dict.fromkeys(starts)]
    means = np.array([group.mean(axis=0) for group in groups])
    freedom = len(groups) * (centred.shape[1] - 1)  # a stage's gain is against the others of its case
    freedom_within = (len(starts) - len(groups)) * (centred.shape[1] - 1)
    between = sum(len(group) * (mean**2).sum() for group, mean in zip(groups, means)) / freedom
    within = sum(((group - mean) ** 2).sum() for group, mean in zip(groups, means)) / max(freedom_within, 1)
    if not freedom_within or not within:
        return {"f": None, "p": None}
    f = between / within
    return {"f": float(f), "p": float(scipy.stats.f.sf(f, freedom, freedom_within))}


def luck(names: list[str], evidence: list[dict], gains: list[dict], seed: int = 0) -> dict:
    """How likely the best of these methods would look as good if none knew anything: gains shuffled in each case.

    Returns:
      {methods: how many, best, over_random_loss, p}.
    """
    chosen = np.array([[found[name][0] == found[name][0].max() for found in evidence] for name in names], np.float64)
    chosen /= chosen.sum(axis=-1, keepdims=True)  # (methods, cases, stages)
    centred = np.array([own["loss"] - own["loss"].mean() for own in gains])
    found = lambda gain: np.einsum("mcs,cs->m", chosen, gain) / len(gain)
    random, real = np.random.default_rng(seed), found(centred)
    best = [found(random.permuted(centred, axis=1)).max() for _ in range(RESAMPLES)]
    at_least = int(np.sum(np.array(best) >= real.max() - 1e-12))
    return {
        "methods": len(names),
        "best": names[real.argmax()],
        "over_random_loss": float(real.max()),
        "p": (1 + at_least) / (1 + RESAMPLES),
    }


def holm(found: dict[str, dict]) -> dict[str, dict]:
    """{over_random_loss, p, corrected}: with p as it is among so many that were tried (Holm, 1979)."""
    corrected, least = {}, 0.0
    for left, name in zip(range(len(found), 0, -1), sorted(found, key=lambda name: found[name]["p"])):
        least = max(least, min(1.0, left * found[name]["p"]))
        corrected[name] = least
    return {
        name: {"over_random_loss": one["over_random_loss"], "p": one["p"], "corrected": corrected[name]}
        for name, one in found.items()
    }


def cost(name: str, cases: list[dict], batch_size: int) -> dict:
    """Of a case's scores: in training steps, three image passes an image, and in seconds, with compiling."""
    method = max((known for known in cases[0]["scores"] if name.startswith(known)), key=len, default=None)
    if method is None:
        return {"steps": 0.0, "seconds": 0.0}
    spent = [case["scores"][method] for case in cases]
    return {
        "steps": float(np.mean([one["passes"] for one in spent]) / (3 * batch_size)),
        "seconds": float(np.mean([one["seconds"] for one in spent])),
    }


def interval(values) -> dict:
    return summary.bootstrap(values, resamples=RESAMPLES)


def show(data: str, table: dict) -> None:
    """Prints the figures of a data set, the least regret first."""
    print(
        f"\n{data}: {table['cases']} cases; growing a stage gains {span(table['gain']['loss'], 4)} nats and "
        f"{span(table['gain']['accuracy'], 4)} accuracy; the best stage is the best for each added MAC in "
        f"{table['best_is_best_per_mac']}"
    )
    luck, repeatable = table["luck"], table["repeatable"]
    print(
        f"seeds agree on the better stages: p = {repeatable['p']}; the best of {luck['methods']} methods would be as good "
        f"by luck: p = {luck['p']:.2f}"
    )
    for name, one in table["hypotheses"].items():
        print(f"named before: {name}: p = {one['p']:.4f}, corrected {one['corrected']:.4f}")
    print(f"{'ranks by':58} {'top-1':>18} {'Spearman':>21} {'regret, nats':>25} {'accuracy':>9} {'steps':>6}")
    for name, row in sorted(table["ranking"].items(), key=lambda item: item[1]["regret_loss"]["mean"]):
        print(
            f"{name:58} {span(row['top1'], 2):>18} {span(row['spearman'], 2):>21} {span(row['regret_loss'], 4):>25} "
            f"{row['regret_accuracy']['mean']:9.4f} {row['steps']:6.1f}"
        )
    print(f"{'grows on':58} {'grown':>6} {'right':>18} {'gain of grown - left, nats':>30} {'within a case':>30}")
    for name, row in table["growing"].items():
        differences = (row["difference"], row["difference_within"])
        told = " ".join(f"{span(value, 4) if value else 'all or none':>30}" for value in differences)
        print(f"{name:58} {row['grown']['mean']:6.2f} {span(row['right'], 2):>18} {told}")


def span(value: dict, digits: int) -> str:
    return f"{value['mean']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
