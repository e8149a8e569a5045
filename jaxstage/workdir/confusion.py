"""How good a network is class by class, from one matrix of counts. Plain Python, for reports on any machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxstage.errors import some

Z = 1.959964  # of a 95 % interval


def interval(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval (Wilson's) of a share of which `right` of `of` were counted.

    Example:
      interval(45, 50)  # (0.786, 0.957), to three digits
    """
    share, spread = right / of, Z * Z / of
    middle = share + spread / 2
    half = Z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


@dataclass(frozen=True)
class Confusion:
    """What a network took the images of each class for.

    Example:
      Confusion(("rose", "tulip"), ((9, 1), (3, 7))).accuracy  # 0.8

    Attributes:
      class_names: one for each row and column.
      rows: counts of images, by true class and then by the class that was named.
    """

    class_names: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    @property
    def examples(self) -> int:
        return sum(map(sum, self.rows))

    @property
    def right(self) -> int:
        return sum(row[place] for place, row in enumerate(self.rows))

    @property
    def accuracy(self) -> float:
        return self.right / self.examples

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy: what other test images of the same kind may give."""
        return interval(self.right, self.examples)

    @property
    def by_class(self) -> dict[str, dict]:
        """{class: {right, of, accuracy}}; accuracy None for a class without images."""
        each = ((name, row[place], sum(row)) for place, (name, row) in enumerate(zip(self.class_names, self.rows)))
        return {name: {"right": right, "of": of, "accuracy": right / of if of else None} for name, right, of in each}

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the accuracies of all classes that have images, however many each has."""
        known = [one["accuracy"] for one in self.by_class.values() if one["of"]]
        return sum(known) / len(known)

    @property
    def most_frequent(self) -> float:
        """The accuracy of always naming the class that has the most images."""
        return max(map(sum, self.rows)) / self.examples

    @property
    def no_better(self) -> bool:
        """Whether the accuracy may be no better than that."""
        return self.interval[0] <= self.most_frequent

    @property
    def never_named(self) -> list[str]:
        """Classes with images that the network names for no image at all."""
        columns = map(sum, zip(*self.rows))
        return [n for n, named, row in zip(self.class_names, columns, self.rows) if not named and any(row)]

    @property
    def never_right(self) -> list[str]:
        """Classes that are named, but for no image of their own."""
        never_named = set(self.never_named)
        wrong = [name for name, one in self.by_class.items() if one["of"] and not one["right"]]
        return [name for name in wrong if name not in never_named]

    def mistakes(self, most: int) -> list[tuple[str, str, int]]:
        """(true class, named class, how often) of the most frequent ones, at most so many."""
        pairs = [
            (self.class_names[true], self.class_names[named], count)
            for true, row in enumerate(self.rows)
            for named, count in enumerate(row)
            if true != named and count
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:most]

    def remarks(self, most: int = 5) -> list[str]:
        """What stands out, a line each."""
        lines = []
        if self.no_better:
            lines.append(
                "not clearly better than to name always the most frequent class, which is right for "
                f"{self.most_frequent:.1%}"
            )
        if never_named := self.never_named:
            lines.append(f"never named: {some(never_named, most=10)}")
        if never_right := self.never_right:
            lines.append(f"never named rightly: {some(never_right, most=10)}")
        if found := self.mistakes(most):
            images = {name: sum(row) for name, row in zip(self.class_names, self.rows)}
            told = ", ".join(f"{true} for {named} ({count} of {images[true]})" for true, named, count in found)
            lines.append(f"most often mistaken: {told}")
        return lines


def of(class_names: Sequence[str], labels: Sequence[int], named: Sequence[int]) -> Confusion:
    """The matrix of labels and of the classes that a network named, whole numbers from 0 on."""
    rows = [[0] * len(class_names) for _ in class_names]
    for true, found in zip(labels, named):
        rows[true][found] += 1
    return Confusion(tuple(class_names), tuple(map(tuple, rows)))
