"""Everything there is to know of a work directory's network on a split: how good it is and what it costs."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxstage import cost, plugins
from jaxstage.config import Config
from jaxstage.cost.timing import latency, make_classify
from jaxstage.data import Arrays, Normalization, Stream, load_split
from jaxstage.data.batches import BATCH
from jaxstage.data.streaming import BrokenImages
from jaxstage.errors import UserError
from jaxstage.report.console import Reporter
from jaxstage.train.inputs import input_of
from jaxstage.train.loss import cross_entropy
from jaxstage.workdir import networks

LATENCY_BATCHES = (1, 128)


def evaluate(config: Config) -> dict:
    """Carries out task evaluate.

    Args:
      config: `source` is the work directory; an empty `data.name` stands for the data set of its training.

    Returns:
      accuracy, loss (nats), per_class_accuracy by class name (None for a class without images), parameters,
      trainable_parameters, macs with separable_macs and conv_dense_macs apart, latency_ms by batch size, depths, data,
      split, examples, device, source.

    Raises:
      UserError: there is no network, no such data or split, or they do not fit together.
    """
    trust = plugins.trusted_by(config)
    module, variables, metadata = networks.load(config.source, trust)
    data = config.data.copy_and_resolve_references()
    data.name = data.name or metadata["data"]
    plugins.require_trust(data.name, config.source, trust)
    data.image_size = data.image_size or metadata["input_shape"][0]
    split, class_names = load_split(data, config.evaluate.split)
    _check_fit(config.source, metadata, data.name, split, class_names)
    classify = make_classify(module, Normalization(metadata["mean"], metadata["std"]))
    reporter = Reporter()
    loss, correct, labels = predict(classify, variables, split, config.data.max_broken, reporter.warn)
    counted = cost.count(module, tuple(metadata["input_shape"]))
    result = {
        "accuracy": float(correct.mean()),
        "loss": float(loss.mean()),
        "per_class_accuracy": class_accuracy(correct, labels, class_names),
        **counted.known(),
        "conv_dense_macs": counted.macs - counted.separable_macs,
        "latency_ms": {
            str(batch): latency(classify, variables, split.image_shape, batch, config.evaluate.latency_runs)
            for batch in LATENCY_BATCHES
        },
        "depths": metadata["depths"],
        "data": data.name,
        "split": config.evaluate.split,
        "examples": len(labels),
        "device": jax.devices()[0].device_kind,
        "source": str(config.source),
    }
    reporter.evaluation(result)
    return result


def predict(
    classify: Callable, variables: Any, split: Arrays | Stream, max_broken: float, warn: Callable
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Looks at every image of a split that can be read.

    Args:
      classify, variables: the network.
      split: what to look at.
      max_broken, warn: of a stream's unreadable images, see `jaxstage.data.streaming.BrokenImages`.

    Returns:
      Of each example the cross-entropy in nats, float64 (n,), whether it was classified rightly, bool (n,), and its
      label, int32 (n,).
    """
    logits, labels = [], []
    broken = lambda stream: BrokenImages(stream, max_broken, warn)
    for image, label, counts in input_of(split).batches(split, BATCH, broken):
        logits.append(np.asarray(classify(variables, image))[counts])
        labels.append(label[counts])
    logits, labels = np.concatenate(logits), np.concatenate(labels)
    loss = np.asarray(cross_entropy(logits, labels), np.float64)
    return loss, logits.argmax(-1) == labels, labels


def class_accuracy(correct: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> dict[str, float | None]:
    """Share of each class's examples that were classified rightly; None where there are none."""
    examples = np.bincount(labels, minlength=len(class_names))
    right = np.bincount(labels[correct], minlength=len(class_names))
    return {name: float(r / n) if n else None for name, r, n in zip(class_names, right, examples)}


def _check_fit(source: str, metadata: dict, data: str, split: Arrays | Stream, class_names: tuple[str, ...]) -> None:
    expected = (metadata["num_classes"], tuple(metadata["input_shape"]))
    given = (len(class_names), split.image_shape)
    if expected != given:
        raise UserError(
            f"{source} takes images {expected[1]} of {expected[0]} classes, config.data.name={data!r} has {given[1]} "
            f"of {given[0]}: choose a data set like {metadata['data']}"
        )
