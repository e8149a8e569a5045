"""Pictures that a set has twice: the same file again, or nearly the same picture on both sides of the test."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxstage.data.prepare.look import SMALL, Seen
from jaxstage.data.sources import TEST_NAMES, TRAIN

CONTRAST = 4  # grey levels of deviation; what has less is a plain area, and all of these look alike
PARTS = 6  # of a hash: resized by 0.8 and compressed anew, 99 of 100 pictures of CIFAR-10 keep one of them
LEVELS = 3  # grey levels by which small pictures of near duplicates differ on average; of 10^6 other pairs none had 5
MOST = 1000  # pictures of the same part that one is compared with, or many alike would take for ever


class Twins(NamedTuple):
    """How many pictures repeat another one, and one example, two paths.

    Attributes:
      number: of pictures that repeat.
      example: (path, path), or None where there are none.
    """

    number: int
    example: tuple[str, str] | None


def same_files(pictures: Sequence[Seen], test: str | None) -> dict[str, Twins]:
    """Files that are byte for byte the same.

    Args:
      pictures: all.
      test: name of the split that is for the test, if there is one.

    Returns:
      Three counts: `same_class` of pictures that repeat one of their class and split, `other_class` of those that
      repeat one of another class, of which one label is wrong, `train_and_test` of test pictures that are for training too.
    """
    groups = defaultdict(list)
    for seen in pictures:
        groups[seen.digest].append(seen.picture)
    same, other, both = [], [], []
    for group in groups.values():
        for number, picture in enumerate(group):
            before = group[:number]
            same += [(one, picture) for one in before if one[1:] == picture[1:]][:1]
            other += [(one, picture) for one in before if one.label != picture.label][:1]
            if picture.split == test:
                both += [(one, picture) for one in group if one.split == TRAIN][:1]
    kinds = {"same_class": same, "other_class": other, "train_and_test": both}
    return {kind: _twins(pairs) for kind, pairs in kinds.items()}


def look_alikes(pictures: Sequence[Seen], test: str | None) -> Twins:
    """Test pictures that look nearly like one for training; without a test split, pictures like any other one.

    Looked for among those that share a part of a difference hash: whether each pixel of the small picture is brighter
    than its left neighbour. Files that are the same are not counted.
    """
    pictures = [seen for seen in pictures if seen.small.std() >= CONTRAST]
    train = [seen for seen in pictures if seen.picture.split == TRAIN]
    asked = [seen for seen in pictures if seen.picture.split == test] if test else train
    small, places = _small(train).astype(np.int16), defaultdict(list)
    for place, keys in enumerate(_keys(train)):
        for key in enumerate(keys):
            places[key].append(place)
    pairs = []
    for seen, keys in zip(asked, _keys(asked)):
        near = np.unique([place for key in enumerate(keys) for place in places.get(key, [])[:MOST]]).astype(int)
        alike = near[np.abs(small[near] - seen.small).mean((1, 2)) <= LEVELS]
        others = (train[place] for place in alike if train[place].digest != seen.digest)
        if (other := next(others, None)) is not None:
            pairs.append((other.picture, seen.picture))
    return _twins(pairs)


def test_of(pictures: Sequence[Seen]) -> str | None:
    """The split that the test will be on, or None: then it is cut from the training pictures."""
    there = {seen.picture.split for seen in pictures}
    return next((split for split in TEST_NAMES if split in there), None)


def _small(pictures: Sequence[Seen]) -> np.ndarray:
    return np.array([seen.small for seen in pictures], np.uint8).reshape(-1, SMALL, SMALL)


def _keys(pictures: Sequence[Seen]) -> list[list[int]]:
    """The parts of each picture's hash, as numbers."""
    small = _small(pictures)
    bits = (small[:, :, 1:] > small[:, :, :-1]).reshape(-1, PARTS, SMALL * (SMALL - 1) // PARTS)
    return (bits @ (1 << np.arange(bits.shape[-1]))).tolist()


def _twins(pairs) -> Twins:
    return Twins(len(pairs), (pairs[0][0].path, pairs[0][1].path) if pairs else None)
