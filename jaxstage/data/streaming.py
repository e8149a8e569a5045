"""Splits that stay on disk: batches are decoded by worker processes while the devices compute.

What batch a step gets is a function of the training's key and the step's number alone: an epoch is a permutation by
(key, epoch), a crop is drawn by (key, step, place in the batch). So training goes on at any step, on any number of
hosts, with the very images that were due. A process makes the part of the global batch that its devices need.

An image that cannot be read keeps its place with weight 0: nothing shifts, and every host does equally many steps.

No JAX here: worker processes import this file.
"""

import contextlib
import functools
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import spawn
from typing import Any

import numpy as np

from jaxstage.data.decode import OK, REASONS, UNREADABLE, Broken, decode, random_box
from jaxstage.data.pictures import CROP, fitting_box
from jaxstage.errors import UserError

THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Stream:
    """Examples of a split, on disk; what Arrays is for a set in memory.

    Attributes:
      name: of the set and split, for messages: imagenet2012/train.
      records: random access to (compressed image or pixels, label, name for people); picklable.
      indices: int64 (n,), which of them.
      image_shape: (height, width, channels) in which they are delivered.
      crop_scale: share of an image's area that a training crop takes, from and to; () for the evaluation's crop.
      decoder: pillow or opencv.
      labels: int32 (n,), where they are known without reading the records.
      fit: how an image gets their ratio where no random part of it is taken, see `jaxstage.data.pictures`.
    """

    name: str
    records: Any
    indices: np.ndarray
    image_shape: tuple[int, int, int]
    crop_scale: tuple[float, ...] = ()
    decoder: str = "pillow"
    fit: str = CROP
    labels: np.ndarray | None = None

    @property
    def size(self) -> int:
        return len(self.indices)

    def take(self, places) -> "Stream":
        labels = None if self.labels is None else self.labels[places]
        return replace(self, indices=self.indices[places], labels=labels)

    def load(self, place: int, random: np.random.Generator | None = None) -> tuple[np.ndarray, int, int]:
        """(pixels, label, status) of the example in a place; cropped at random if `random` is given."""
        size, channels = self.image_shape[:2], self.image_shape[-1]
        try:
            try:
                data, label, _ = self.records[int(self.indices[place])]
            except Exception as error:  # whatever the storage makes of a damaged file
                raise Broken(UNREADABLE) from error
            if random is not None and self.crop_scale:
                box_of = lambda width, height: random_box(width, height, size, self.crop_scale, random)
            else:
                box_of = lambda width, height: fitting_box(width, height, size, self.fit)
            return decode(data, size, channels, box_of, self.decoder), label, OK
        except Broken as broken:
            return np.zeros(self.image_shape, np.uint8), 0, broken.status

    def read_labels(self) -> np.ndarray:
        """The labels of all examples, or where they are not known, of those whose record can be read, int32; no image is
        decoded."""
        if self.labels is not None:
            return self.labels

        def label(place: int) -> int | None:
            try:
                return int(self.records[int(self.indices[place])][1])
            except Exception:  # whatever the storage makes of a damaged file; the training counts it
                return None

        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(label, range(self.size))
            return np.array([label for label in found if label is not None], np.int32)

    def read(self, report: Callable[[np.ndarray, np.ndarray], None]) -> tuple[np.ndarray, np.ndarray]:
        """All images and labels, cropped as for evaluation, without the broken ones: for a part that fits in memory."""
        with ThreadPoolExecutor(THREADS) as pool:
            images, labels, status = zip(*pool.map(self.load, range(self.size)))
        status = np.array(status)
        report(self.indices, status)
        return np.stack(images)[status == OK], np.array(labels, np.int32)[status == OK]


@dataclass(frozen=True)
class TrainingBatches:
    """Random access to this process's part of every batch of a training run, from step `start` on.

    Attributes:
      stream: the training set.
      words: integers that stand for the training's key.
      batch_size: of the global batch.
      places: the global batch's places that this process makes.
      start, steps: first step, and the step after the last.
      copies: how often an epoch shows each image.
    """

    stream: Stream
    words: tuple[int, ...]
    batch_size: int
    places: range
    start: int
    steps: int
    copies: int = 1

    def __len__(self) -> int:
        return self.steps - self.start

    def __getitem__(self, item: int) -> dict[str, np.ndarray]:
        number = self.start + item
        epoch, within = divmod(number, self.stream.size * self.copies // self.batch_size)
        order = epoch_order(self.words, epoch, self.stream.size, self.copies)
        chosen = order[within * self.batch_size + np.array(self.places)]
        draws = (np.random.default_rng((*self.words, 1, number, place)) for place in self.places)
        return _batch(self.stream, chosen, draws, np.array(self.places))


@dataclass(frozen=True)
class EvaluationBatches:
    """Random access to this process's part of every batch of one pass in order; the last is filled up with weight 0."""

    stream: Stream
    batch_size: int
    places: range

    def __len__(self) -> int:
        return -(-self.stream.size // self.batch_size)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        chosen = number * self.batch_size + np.array(self.places)
        batch = _batch(self.stream, chosen.clip(max=self.stream.size - 1), [None] * len(chosen), np.array(self.places))
        beyond = chosen >= self.stream.size
        batch["weight"] = batch["weight"] * ~beyond
        batch["status"] = np.where(beyond, OK, batch["status"])  # counted already
        return batch


@functools.lru_cache(maxsize=2)
def epoch_order(words: tuple[int, ...], epoch: int, size: int, copies: int) -> np.ndarray:
    """The order in which an epoch visits the examples, int64 (size * copies,)."""
    return np.random.default_rng((*words, 0, epoch)).permutation(size * copies) % size


def _batch(stream: Stream, chosen: np.ndarray, draws, positions: np.ndarray) -> dict[str, np.ndarray]:
    images = np.empty((len(chosen), *stream.image_shape), np.uint8)
    labels, status = np.empty(len(chosen), np.int32), np.empty(len(chosen), np.int32)
    for row, (place, random) in enumerate(zip(chosen, draws)):
        images[row], labels[row], status[row] = stream.load(place, random)
    return {
        "image": images,
        "label": labels,
        "position": positions.astype(np.int32),
        "weight": (status == OK).astype(np.float32),
        "index": stream.indices[chosen],
        "status": status,
    }


def iterate(batches: TrainingBatches | EvaluationBatches, workers: int, ahead: int = 2) -> Iterator[dict]:
    """The batches in order, made ahead of their use.

    Args:
      batches: what to make.
      workers: processes that make them; 0 for threads of this one.
      ahead: batches that each worker, or each thread, may have ready.
    """
    import grain
    from absl import flags

    if not flags.FLAGS.is_parsed():  # grain reads flags of its own; outside of a program nobody has parsed any
        flags.FLAGS.mark_as_parsed()
    threads = 1 if workers else THREADS
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead * threads)
    dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
    if workers:
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=ahead)
        dataset = dataset.mp_prefetch(options, worker_init_fn=_start_worker)
    iterator = iter(dataset)
    with _no_main_script() if workers else contextlib.nullcontext():
        try:
            for batch in iterator:
                # grain's arrays lie in shared memory that goes away with them; a device may still read when they do.
                copied = {name: np.array(array) for name, array in batch.items()}
                del batch
                yield copied
        finally:
            iterator.close()
            if workers:
                del iterator, dataset
                _free_shared_memory()


@contextlib.contextmanager
def _no_main_script():
    """Lets workers start without the program's script, of which they need nothing.

    Python runs it once more in each process that it starts, so that one without `if __name__ == "__main__":` would
    start processes of its own there.
    """
    prepare = spawn.get_preparation_data

    def without_script(name: str) -> dict:
        data = prepare(name)
        ours = name.startswith("grain-")
        return {key: value for key, value in data.items() if not (ours and key.startswith("init_main_from"))}

    spawn.get_preparation_data = without_script
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare


def _free_shared_memory() -> None:
    """Gives back the memory of all batches, which a program that ends would leave behind, with a warning."""
    from grain.multiprocessing import SharedMemoryArray

    gc.collect()  # grain's iterators hold each other, and each its last batch
    if pool := getattr(SharedMemoryArray, "_del_thread_pool", None):
        pool.apply(int)  # one thread: what was asked for before is done by then


def _start_worker(number: int, workers: int) -> None:
    """Leaves Ctrl-C, which goes to all processes, to the parent, and ends with it, even if it is killed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


class BrokenImages:
    """Counts the images of a split that could not be read, names each once, and stops a run that has too many.

    One is never too many, unless the share is 0: it would be more than a thousandth of any small folder of images.
    """

    def __init__(
        self,
        stream: Stream,
        share: float,
        warn: Callable[[str], None],
        note: Callable[[list[dict]], None] = lambda images: None,
    ):
        """Args: stream; share, how much of it may be broken; warn, takes one line of text; note, takes what
        `jaxstage.data.skipped` keeps."""
        self._stream, self._share, self._warn, self._note, self._seen = stream, share, warn, note, set()
        self._allowed = max(share * stream.size, 1) if share else 0

    def __call__(self, indices: np.ndarray, status: np.ndarray) -> None:
        """Takes note of a batch.

        Raises:
          UserError: there are more than the share.
        """
        for index, code in zip(indices[status != OK].tolist(), status[status != OK].tolist()):
            if index in self._seen:
                continue
            self._seen.add(index)
            name = self._name(index)
            what = f"{self._stream.name}[{index}]" + (f" ({name})" if name else "")
            self._warn(f"{what} is skipped: {REASONS[code]} ({len(self._seen)} so far)")
            self._note([{"split": self._stream.name, "image": name or f"number {index}", "why": REASONS[code]}])
            if len(self._seen) > self._allowed:
                raise UserError(
                    f"{len(self._seen)} of the {self._stream.size:,} images of {self._stream.name} cannot be read, the "
                    f"last {what} ({REASONS[code]}): more than config.data.max_broken={self._share:g} of them; prepare "
                    "the set again, or raise that share"
                )

    def _name(self, index: int) -> str | None:
        try:
            return self._stream.records[index][2]
        except Exception:  # its record is what cannot be read
            return None
