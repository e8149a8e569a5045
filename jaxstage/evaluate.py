"""Everything there is to know of a work directory's network on a split: how good it is and what it costs."""

import jax
import numpy as np

from jaxstage import cost, plugins
from jaxstage.config import Config
from jaxstage.cost.timing import latency, make_classify
from jaxstage.data import Arrays, Normalization, Stream, load_split
from jaxstage.data.streaming import BrokenImages
from jaxstage.errors import UserError
from jaxstage.report.console import Reporter
from jaxstage.train.loss import cross_entropy
from jaxstage.train.predictions import passes
from jaxstage.workdir import confusion, networks

LATENCY_BATCHES = (1, 128)


def evaluate(config: Config) -> dict:
    """Carries out task evaluate.

    Args:
      config: `source` is the work directory; an empty `data.name` stands for the data set of its training.

    Returns:
      accuracy, with accuracy_interval (95 %) and balanced_accuracy, the mean over classes; loss (nats);
      per_class_accuracy by class name (None for a class without images), per_class_right [right, of how many] likewise;
      confusion, rows by true class of how many images were taken for each class; parameters, trainable_parameters, macs
      with separable_macs and conv_dense_macs apart, latency_ms by batch size, depths, data, split, examples, device,
      source.

    Raises:
      UserError: there is no network, no such data or split, or they do not fit together.
    """
    trust = plugins.trusted_by(config)
    module, variables, metadata = networks.load(config.source, trust)
    data = config.data.copy_and_resolve_references()
    data.name = data.name or metadata["data"]
    plugins.require_trust(data.name, config.source, trust)
    data.fit = data.fit or metadata.get("fit")
    data.image_size = data.image_size or tuple(metadata["input_shape"][:2])
    split, class_names = load_split(data, config.evaluate.split)
    _check_fit(config.source, metadata, data.name, split, class_names)
    classify = make_classify(module, Normalization(metadata["mean"], metadata["std"]))
    reporter = Reporter()
    broken = lambda stream: BrokenImages(stream, config.data.max_broken, reporter.warn)
    looked = [(label, logits) for _, label, logits in passes(classify, variables, split, broken)]
    labels, logits = map(np.concatenate, zip(*looked))
    counts = confusion.of(class_names, labels.tolist(), logits.argmax(-1).tolist())
    counted = cost.count(module, tuple(metadata["input_shape"]))
    result = {
        "accuracy": counts.accuracy,
        "accuracy_interval": list(counts.interval),
        "balanced_accuracy": counts.balanced_accuracy,
        "loss": float(np.asarray(cross_entropy(logits, labels), np.float64).mean()),
        "per_class_accuracy": {name: one["accuracy"] for name, one in counts.by_class.items()},
        "per_class_right": {name: [one["right"], one["of"]] for name, one in counts.by_class.items()},
        "confusion": [list(row) for row in counts.rows],
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
    reporter.evaluation(result, counts)
    return result


def _check_fit(source: str, metadata: dict, data: str, split: Arrays | Stream, class_names: tuple[str, ...]) -> None:
    expected = (metadata["num_classes"], tuple(metadata["input_shape"]))
    given = (len(class_names), split.image_shape)
    if expected != given:
        raise UserError(
            f"{source} takes images {expected[1]} of {expected[0]} classes, config.data.name={data!r} has {given[1]} "
            f"of {given[0]}: choose a data set like {metadata['data']}"
        )
