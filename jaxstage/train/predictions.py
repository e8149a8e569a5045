"""What a network says of every image of a split that can be read, on one device of this host."""

import heapq
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxstage.data import Arrays, Stream
from jaxstage.data.batches import BATCH
from jaxstage.train.inputs import input_of


class Mistake(NamedTuple):
    """An image that was misclassified.

    Attributes:
      probability: of the class that was named, 0..1.
      label, named: the true class and the named one, by their numbers.
      image: uint8 (height, width, channels).
    """

    probability: float
    label: int
    named: int
    image: np.ndarray


def passes(
    classify: Callable, variables: Any, split: Arrays | Stream, broken: Callable
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(images uint8 (n, height, width, channels), labels int32 (n,), logits (n, classes)), batch by batch.

    Args:
      classify, variables: the network, see `jaxstage.cost.timing.make_classify`.
      split: what to look at.
      broken: from a stream to what is told of its unreadable images, see `jaxstage.train.inputs`.
    """
    for image, label, counts in input_of(split).batches(split, BATCH, broken):
        logits = np.asarray(classify(variables, image))
        yield np.asarray(image)[counts], np.asarray(label)[counts], logits[counts]


def look(batches: Iterator[tuple], keep: int) -> tuple[np.ndarray, np.ndarray, list[Mistake]]:
    """Labels and named classes of all images, int (n,), and the mistakes that the network is surest of.

    Args:
      batches: see `passes`.
      keep: how many mistakes to keep.
    """
    labels, named, kept = [], [], []
    for images, label, logits in batches:
        probabilities = np.asarray(jax.nn.softmax(logits.astype(np.float32)))
        found = probabilities.argmax(-1)
        labels.append(label)
        named.append(found)
        for place in np.flatnonzero(found != label):
            sure = float(probabilities[place, found[place]])
            order = (sure, -sum(map(len, labels)), int(place))  # of equals the first; images have no order
            heapq.heappush(kept, (order, Mistake(sure, int(label[place]), int(found[place]), images[place].copy())))
            if len(kept) > keep:
                heapq.heappop(kept)
    return (
        np.concatenate(labels),
        np.concatenate(named),
        [one for _, one in sorted(kept, reverse=True, key=lambda k: k[0])],
    )
