"""The sections of docs/RESULTS.md, one function a benchmark: from its summary to text, plots and conclusions."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import plots
import summary
from wording import BETTER, SAME, TIE, UNKNOWN, WORSE, number, outcome, percent, standings, table, verdict

LOSSY = "CIFAR-10 here is a JPEG copy, which is lossy: its accuracies are no figures to compare with published ones."
BUDGETS = {"macs": "equal MACs", "parameters": "equal parameters"}


class Section(NamedTuple):
    """A part of the page.

    Attributes:
      title: its heading.
      text: what is below.
      conclusions: sentences for the page's top.
      plots: functions of a path, by the path below docs/.
    """

    title: str
    text: str
    conclusions: list[str]
    plots: dict[str, Callable]


def baselines(data: dict, prefix: str) -> Section:
    parts, conclusions, drawn = [BASELINES.format(deepest=data["settings"]["deepest"])], [], {}
    for name, rows in data["results"].items():
        text, sentences, pictures = _baselines_of(name, data["settings"], rows, f"{prefix}-{name}")
        parts.append(text)
        conclusions += sentences
        drawn |= pictures
    return Section("The found network against others", "\n\n".join(parts), conclusions, drawn)


BASELINES = """Every network below went through the same last training, on the same images. A network that a search
hands over inherited weights before it and so has been trained for longer: only the rows *from scratch* tell how good
depths are, and they are compared with the found depths from scratch. MACs and parameters are means over the seeds,
whose searches find different depths. Rivals of equal cost are the nearest ones on their path of growth
(`benchmarks/rivals.py`), at most {deepest} blocks in a stage."""


def _baselines_of(name: str, settings: dict, rows: list[dict], prefix: str) -> tuple[str, list[str], dict]:
    """Text, conclusions and plots for one data set."""
    described = settings["data"][name]
    searches = [row for row in rows if row["kind"] == "search"]
    scratch = [row for row in rows if row["kind"] == "scratch"]
    found, others = scratch[0], scratch[1:]
    default, alternatives = searches[0], searches[1:]
    uniform = next(row for row in others if (row["name"], row["budget"]) == ("uniform", "macs"))
    longer = _paired(default, found)
    sentences = [
        f"{name}: {verdict('the found network', 'uniform growth at equal MACs', uniform['reference_minus_this'])}",
        f"{name}, depths from scratch: the found ones are {_standings(others, rival_name)}.{_all_alike(others)}",
        f"{name}, searches as they end: the default one is {_standings(alternatives, lambda row: row['name'])}."
        + _unequal(default, alternatives),
        f"{name}: "
        + verdict("the network that the search hands over", "the same depths trained from scratch", longer)
        + f" Its search cost {number(default['search_per_final'], 1)} final training runs on top.",
    ]
    for variant in alternatives:
        if variant["name"].startswith(f"{default['name']},"):
            rest = [row for row in searches if row is not variant]
            told = _ranked({row["name"]: _paired(variant, row) for row in rest})
            sentences.append(f"{name}, searches as they end: {variant['name']} is {told}.{_unequal(variant, rest)}")
    head = [
        "searches, as they end",
        "depths",
        "million MACs",
        "parameters",
        "test accuracy, %",
        "default minus this, points",
        "cost of the search, final training runs",
        "networks trained",
    ]
    searched = [
        [*_common(row, row["name"]), number(row["search_per_final"], 1), number(row["networks_trained"], 1)]
        for row in searches
    ]
    head_scratch = ["from scratch", *head[1:5], "found minus this, points"]
    trained = [_common(row, rival_name(row)) for row in scratch]
    accuracy, costs = f"{prefix}-accuracy.svg", f"{prefix}-cost.svg"
    points = [(f"search as it ends: {row['name']}", False, row["macs"], row["accuracy"]) for row in searches]
    points += [(rival_name(row), row["budget"] == "parameters", row["macs"], row["accuracy"]) for row in scratch]
    bars = [(row["name"], row["search_per_final"]) for row in searches]
    drawn = {
        accuracy: functools.partial(plots.accuracy_against_macs, title=f"{name}: accuracy against cost", points=points),
        costs: functools.partial(
            plots.bars, title=f"{name}: cost of the search", label="trainings of the final network", values=bars
        ),
    }
    text = f"""### {name}

{_data_line(described, settings["seeds"])}

{table(head, searched)}

{table(head_scratch, trained)}

![Accuracy against MACs]({accuracy})

![Cost of the searches]({costs})"""
    return text, sentences, drawn


def _data_line(described: dict, seeds: int) -> str:
    text = (
        f"`{described['config']}` with {described['training_images']:,} training images, widths "
        f"{', '.join(map(str, described['widths']))}, {described['epochs']['candidate']} epochs a candidate and "
        f"{described['epochs']['final']} for the last training, {seeds} seed(s), each with images of its own."
    )
    return f"{text} {LOSSY}" if described["jpeg"] else text


def _common(row: dict, name: str) -> list[str]:
    depths = ", ".join(dict.fromkeys(_brackets(seed["depths"]) for seed in row["seeds"]))
    return [
        name,
        depths,
        f"{row['macs']['mean'] / 1e6:.2f}",
        f"{row['parameters']['mean']:,.0f}",
        percent(row["accuracy"]),
        percent(row["reference_minus_this"]),
    ]


def _brackets(depths: list[int]) -> str:
    return f"({', '.join(map(str, depths))})"


def rival_name(row: dict) -> str:
    if row["budget"] is None:
        return row["name"]
    return f"{row['name']} ({BUDGETS[row['budget']]})"


def _standings(rows: list[dict], name_of: Callable, key: str = "reference_minus_this") -> str:
    return _ranked({name_of(row): row[key] for row in rows})


def _ranked(differences: dict[str, dict]) -> str:
    phrases = {
        BETTER: "better than",
        SAME: "the same networks as",
        TIE: "in a tie with",
        WORSE: "worse than",
        UNKNOWN: "with one seed, not to be told from",
    }
    return standings(differences, phrases)


def _all_alike(rows: list[dict]) -> str:
    if any(outcome(row["reference_minus_this"]) not in (TIE, SAME) for row in rows):
        return ""
    return " At this scale nothing shows which depths are better."


def _unequal(first: dict, others: list[dict]) -> str:
    """Where the others' networks, or their searches, cost more or less than the first's by over 5 %."""
    costs = {"MACs": lambda row: row["macs"]["mean"], "search costs": lambda row: row["search_cost"]["mean"]}
    told = ""
    for what, cost in costs.items():
        ratios = {row["name"]: cost(row) / cost(first) for row in others}
        unequal = [f"{name} {ratio:.0%}" for name, ratio in ratios.items() if not 1 / 1.05 < ratio < 1.05]
        told += f" Not at equal cost: {what} against its own are {', '.join(unequal)}." if unequal else ""
    return told


def _paired(first: dict, second: dict) -> dict:
    """Interval of the first row's accuracy minus the second's, seed by seed."""
    pairs = zip(first["seeds"], second["seeds"])
    return summary.interval([a["test_accuracy"] - b["test_accuracy"] for a, b in pairs])


def inheritance(data: dict, prefix: str) -> Section:
    rows, settings = data["results"], data["settings"]
    first, best = rows[0], max(rows, key=lambda row: row["test"]["mean"])

    def name_of(row):
        epochs = "" if row["epochs"] == first["epochs"] else f", {row['epochs']} epochs"
        return f"{row['method']} ({row['schedule']}{epochs})" if row["method"] else "one training run"

    head = [
        "inheritance (rate while growing)",
        "epochs a candidate",
        "of the last training",
        "validation after growth, %",
        "loss after growth",
        "validation, %",
        "test, %",
        f"{name_of(first)} minus this, points",
    ]
    cells = [
        [
            name_of(row),
            str(row["epochs"] or "-"),
            str(row["final_epochs"]),
            percent(row["after_growth"]),
            number(row["loss_after_growth"]),
            percent(row["validation"]),
            percent(row["test"]),
            percent(row["first_minus_this"]),
        ]
        for row in rows
    ]
    picture = f"{prefix}.svg"
    values = [(name_of(row), {key: v and v * 100 for key, v in row["test"].items()}) for row in rows]
    draw = functools.partial(plots.bars, title="after the final training", label="test accuracy, %", values=values)
    depths = [settings["start"], rows[0]["seeds"][0]["depths"]]
    text = f"""All stages grow in two rounds, {" to ".join(map(_brackets, depths))}, whatever is measured. The rate
while growing is constant or annealed within each candidate. All spend equally many image passes times MACs on growth
and last training together, in whole epochs. *one training run* has no growth, only the last depths from scratch.

{_data_line(settings, settings["seeds"])}

{table(head, cells)}

![Test accuracy by inheritance]({picture})"""
    conclusions = [
        f"inheritance: {name_of(first)} is {_standings(rows[1:], name_of, 'first_minus_this')}. "
        f"The highest mean is that of {name_of(best)}, {percent(best['test'])} %."
    ]
    return Section("Inheritance and epochs a candidate", text, conclusions, {picture: draw})


def nas_bench_macro(data: dict, prefix: str) -> Section:
    methods, bounds = data["results"]["methods"], data["results"]["bounds"]
    figures = {
        "accuracy": "accuracy there, %",
        "regret": "regret, points",
        "mean_regret": "regret over the path, points",
        "rank": "rank",
        "rank_at_cost": "rank at its MACs",
        "agreement": "best stage picked",
    }
    cells = [[name, *(number(row[figure]) for figure in figures)] for name, row in methods.items()]
    cells += [[f"*{name}*", *(f"{row[figure]:.2f}" for figure in figures)] for name, row in bounds.items()]
    rules = [
        [
            name,
            str(rule["choices"]),
            f"{rule['top1']:.2f}",
            f"{rule['chance']:.2f}",
            f"{rule['over_random']:+.3f}",
            f"{rule['p']:.3f}",
        ]
        for name, rule in data["results"]["rules"].items()
    ]
    text = f"""The searches ran here; how good the depths are that they ended at was looked up in NAS-Bench-Macro (Su et
al., CVPR 2021), whose networks others trained, three times each, on lossless CIFAR-10. Regret: to the best network of
at most the same MACs. In italics what the table alone says: its greedy path, the shallowest stage first, and random
growth in expectation. {data["settings"]["seeds"]} seeds. {LOSSY}

{table(["method", *figures.values()], cells)}

By the table alone, rules that look at nothing but depths, over every network that has a choice of stages. *Over random*:
points of accuracy a million added MACs more than those of a random stage; p, of shuffled gains.

{table(["grows first", "choices", "best stage picked", "by chance", "over random", "p"], rules)}"""
    chance = bounds["random"]
    conclusions = [
        f"NAS-Bench-Macro: {name} picks the best stage in {number(row['agreement'])} of its decisions, "
        f"{_against(row['agreement'], chance['agreement'])} ({chance['agreement']:.2f})."
        for name, row in methods.items()
        if row["agreement"]
    ] + [
        f"NAS-Bench-Macro, by its table: growing the {name} first picks stages that gain "
        f"{'more than' if rule['p'] <= 0.05 else 'no more, within chance, than'} random ones (p = {rule['p']:.3f})."
        for name, rule in data["results"]["rules"].items()
    ]
    return Section("Depths that others have trained: NAS-Bench-Macro", text, conclusions, {})


def _against(interval: dict, chance: float) -> str:
    shifted = {key: value if value is None else value - chance for key, value in interval.items() if key != "n"}
    return {
        BETTER: "above what random growth does, outside the interval",
        WORSE: "below what random growth does, outside the interval",
        TIE: "no different from random growth within the interval",
        SAME: "as random growth does",
        UNKNOWN: "one seed, which tells nothing against random growth",
    }[outcome(shifted)]


REFERENCE = "perturbation sigma=0.05 K=8 n=512"  # its other settings are told in the folded table


def fidelity(data: dict, prefix: str) -> Section:
    parts, conclusions = [FIDELITY], []
    for name, figures in data["results"]["figures"].items():
        study = data["settings"]["studies"][name]
        text, sentences = _fidelity_of(name, study, figures)
        parts.append(text)
        conclusions += sentences
    return Section("Which importance tells the truth", "\n\n".join(parts), conclusions, {})


FIDELITY = """From trained starts each stage was grown alone and trained on; the truth about a stage is how much more
the held-out loss falls, in nats, than with the same training and no growth. Each method ranks the stages beforehand,
and a search would grow the first. *Top-1*: how often that one gains most. *Regret*: loss given away against the best
stage. *Over random*: gain of the chosen stage over that of an average one. A level is never compared in a search, but
shows what the rise adds. *Lowest score*: how far the start's score falls short of its stages' mean. *Control*: the
probe is compared with the start trained on for as long, which differs from it in nothing but depth. Intervals are
bootstrapped over the cases, each for itself; steps are training steps of equal cost. *Within a case*: without what
all stages of a case have in common, so that it is about stages."""


def _fidelity_of(name: str, study: dict, figures: dict) -> tuple[str, list[str]]:
    ranking = dict(sorted(figures["ranking"].items(), key=lambda item: item[1]["regret_loss"]["mean"]))
    shown = [method for method in ranking if not method.startswith("perturbation") or method.startswith(REFERENCE)]
    real = [method for method in shown if not method.startswith("(")]
    told = [f"{name}, a stage named by importance gains " + _standings_of(ranking, real)]
    trivial = [method for method in shown if method.startswith("(trivial)") and method != "(trivial) random"]
    told.append(f"{name}, a stage named by a trivial rule gains " + _standings_of(ranking, trivial))
    head = ["ranks by", "top-1", "Spearman", "regret, nats", "regret, points", "over random, nats", "steps"]
    line = lambda method, row: [
        method,
        number(row["top1"]),
        number(row["spearman"]),
        number(row["regret_loss"], 4),
        number(row["regret_accuracy"], 2, 100),
        number(row["over_random_loss"], 4),
        f"{row['steps']:.1f}",
    ]
    told += [_luck_of(name, figures["luck"], figures["repeatable"]), _hypotheses(name, figures["hypotheses"])]
    pays = ["grows on", "stages grown", "right", "gain of grown minus left, nats", "the same within a case"]
    grown = [
        [
            rule,
            number(row["grown"]),
            number(row["right"]),
            number(row["difference"], 4),
            number(row["difference_within"], 4),
        ]
        for rule, row in figures["growing"].items()
        if not rule.startswith("perturbation") or rule.startswith(REFERENCE)
    ]
    starts = ", ".join(map(_brackets, study["starts"]))
    gain = figures["gain"]
    text = f"""### {name}

`{study["config"]}` with {", ".join(f"`{key}={value}`" for key, value in study["changes"].items())}; starts {starts};
seeds {", ".join(map(str, study["seeds"]))}; {figures["cases"]} cases. {LOSSY if name == "cifar10" else ""}
Growing a stage gains {number(gain["loss"], 4)} nats and {number(gain["accuracy"], 2, 100)} points; the stage that gains
most is also the one that gains most for each added MAC in {figures["best_is_best_per_mac"]} cases.

{table(head, [line(method, ranking[method]) for method in shown])}

{table(pays, grown)}

<details><summary>Other settings of the perturbation</summary>

{table(head, [line(method, row) for method, row in ranking.items() if method not in shown])}

</details>"""
    return text, told


def _luck_of(name: str, luck: dict, repeatable: dict) -> str:
    """What the many intervals of the table do not say: whether the best of them would come up by chance."""
    seeds = "do not agree" if repeatable["p"] is None or repeatable["p"] > 0.05 else "agree"
    verdict = "no method can be called better than a random choice" if luck["p"] > 0.05 else "so it is no accident"
    p = "" if repeatable["p"] is None else f" ({_p(repeatable['p'])})"
    return (
        f"{name}, the seeds of a start {seeds} on the stages that gain more{p}; the best of {luck['methods']} methods, "
        f"{luck['best']}, would look as good by luck with {_p(luck['p'])}: {verdict}."
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _hypotheses(name: str, hypotheses: dict) -> str:
    verdict = lambda one: "better than chance" if one["corrected"] <= 0.05 else "not shown to be better than chance"
    told = (
        f"{method} {one['over_random_loss']:+.4f} ({_p(one['corrected'])}), {verdict(one)}"
        for method, one in hypotheses.items()
    )
    return (
        f"{name}, the readings that were named before this study, with the nats by which the stage that they pick gains "
        f"more than a random one and p, corrected for their number (Holm): {'; '.join(told)}."
    )


def _standings_of(ranking: dict, methods: list[str]) -> str:
    phrases = {
        BETTER: "more than a random one by",
        SAME: "just as much by",
        TIE: "as much as a random one, within the interval, by",
        WORSE: "less than a random one by",
    }
    return standings({method: ranking[method]["over_random_loss"] for method in methods}, phrases) + "."
