"""What a trained candidate is good for: the importance of its stages, its states if it is elastic, and the test."""

import math
import platform

import jax

from jaxstage import importance
from jaxstage.cost.timing import make_classify
from jaxstage.data import Arrays, Stream, load_test
from jaxstage.depth_search import choice, reading
from jaxstage.depth_search.bench import Bench
from jaxstage.devices import hosts
from jaxstage.keys import derive
from jaxstage.train import TrainState
from jaxstage.train.inputs import input_of
from jaxstage.train.predictions import look, passes
from jaxstage.workdir import confusion, networks, tested
from jaxstage.workdir.record import Candidate


def score(bench: Bench, candidate: Candidate, state: TrainState) -> importance.Scores:
    """The importance of a candidate's stages."""
    return importance.method(bench.config)(trained(bench, candidate, state), derive(bench.key, "importance"))


def trained(bench: Bench, candidate: Candidate, state: TrainState) -> importance.Trained:
    """A candidate as importance methods take it, to be scored by whole stages."""
    return importance.Trained(
        candidate.name,
        bench.programs.module(candidate.depths),
        state.variables,
        candidate.depths,
        bench.calibration(),
        bench.dataset.normalization,
    )


def read(bench: Bench, candidate: Candidate, state: TrainState) -> choice.Findings:
    """What the states of an elastic network say about depths; writes it as an artefact."""
    module, states = bench.programs.module_on_one_device(candidate.depths), bench.states(candidate)
    rules, seed = bench.config.growth, bench.config.seed
    look = lambda some: reading.read(
        module,
        state.variables,
        some,
        bench.judged_on(),
        bench.statistics_of(),
        bench.dataset.normalization,
        candidate.lower,
    )
    judge = lambda read: choice.judge(read, states, rules, bench.cost_of, seed)
    read = look(choice.states_to_read(states, seed))
    while (found := judge(read)).of(found.chosen) is None:
        read = read.and_of(look((found.chosen,)))
    networks.save_elastic(bench.workdir, bench.config, candidate, state.variables, bench.dataset)
    return found


def test(bench: Bench, candidate: Candidate, state: TrainState) -> dict:
    """Reads the test split, evaluates the final network on it and writes the artefacts; {loss, accuracy, and
    balanced_accuracy, the mean over classes}."""
    found = load_test(bench.config.data)
    split = input_of(found).place(found, bench.parallel)
    result = bench.programs.evaluation(candidate.depths, split)(state.variables)
    result["balanced_accuracy"] = hosts.on_primary(_class_by_class, bench, candidate, state, found)
    networks.save(bench.workdir, bench.config, candidate, state.variables, bench.dataset, result)
    return result


def _class_by_class(bench: Bench, candidate: Candidate, state: TrainState, split: Arrays | Stream) -> float:
    """Writes beside the network what the test says of each class, and tells what of it stands out; the mean accuracy over
    classes."""
    classify = make_classify(bench.programs.module_on_one_device(candidate.depths), bench.dataset.normalization)
    keep = tested.PICTURES if bench.config.report.pictures else 0
    batches = passes(classify, jax.device_get(state.variables), split, bench.broken)
    labels, named, mistakes = look(batches, keep)
    names, devices = bench.dataset.class_names, jax.devices()
    counts = confusion.of(names, labels.tolist(), named.tolist())
    pictures = [
        tested.Picture(names[one.label], names[one.named], one.probability, png)
        for one in mistakes
        if (png := tested.png(one.image))
    ]
    used = f"{bench.parallel.mesh.size} x {devices[0].device_kind}, {platform.system()} {platform.machine()}"
    tested.write(bench.workdir, counts, used, pictures)
    for line in counts.remarks():
        bench.reporter.say(f"test: {line}")
    if counts.no_better:
        _warn_of_divergence(bench, "the network", "final")
    return counts.balanced_accuracy


def look_for_divergence(bench: Bench, candidate: Candidate, validation: dict | None) -> None:
    """Warns of a candidate of a search that is no better than chance, and by its loss worse than if it gave all classes
    the same probability; validation, {loss, accuracy} or None. Of the final network the test tells."""
    if validation is None or candidate.role == "final":
        return
    classes, images = bench.dataset.num_classes, bench.dataset.validation.size
    lowest, _ = confusion.interval(round(validation["accuracy"] * images), images)
    if lowest <= 1 / classes and not validation["loss"] <= math.log(classes):
        _warn_of_divergence(bench, candidate.name, "candidate")


def _warn_of_divergence(bench: Bench, who: str, training: str) -> None:
    rate, warmup = bench.config.optimizer.learning_rate, bench.config[training].warmup_epochs
    bench.reporter.warn(
        f"{who} has hardly learnt anything: if its training diverged, lower config.optimizer.learning_rate={rate:g} "
        f"or lengthen config.{training}.warmup_epochs={warmup:g}, in a new --workdir"
    )
