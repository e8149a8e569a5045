"""One pass over examples, in batches of one size, so that whatever looks at them is compiled once."""

from collections.abc import Iterator

import numpy as np

BATCH = 512  # examples that are looked at together where nothing is learned from them


def one_pass(size: int, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The numbers of all examples in order; the last batch is filled up from the beginning.

    Example:
      [index.tolist() for index, _ in one_pass(3, 2)]  # [[0, 1], [2, 0]]

    Returns:
      Of each batch the examples' numbers, int64 (batch,), and which are new, bool (batch,): not those that fill it up.
    """
    for start in range(0, size, batch):
        index = np.arange(start, start + batch)
        yield index % size, index < size
