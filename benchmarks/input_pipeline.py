"""The input pipeline against PyTorch's DataLoader with torchvision: same images, same augmentation, same processes.

    python -m pip install -e ".[bench]"
    python -m benchmarks.input_pipeline --images=DIR                        # JPEG files anywhere below DIR
    python -m benchmarks.input_pipeline --tfds=tiny_imagenet --size=64      # a TFDS set in array_record

Each side decodes, takes a random-resized crop and hands over batches; theirs are mirrored, ours will be by the step on
the device. Ours are uint8, which the step normalises; theirs are float tensors by ToTensor and Normalize, or uint8
(`peer, uint8`), to compare like with like. Sides take turns; a turn is `--batches` batches after the workers have
started. Images a second and core: of `--workers` processes, one core each; with 0 workers of this process. `where the
time goes` times the parts of ours one by one. `resident size` is that of this process and its workers over an epoch of
streaming.
"""

import functools
import io
import os
import pathlib
import statistics
import time

import numpy as np
import PIL.Image
import torch
import torchvision.transforms as T
from absl import app, flags

from jaxstage.data.decode import decode, random_box
from jaxstage.data.sources import open_source
from jaxstage.data.streaming import Stream, TrainingBatches, iterate

_IMAGES = flags.DEFINE_string("images", None, "folder of JPEG files")
_TFDS = flags.DEFINE_string("tfds", None, "name of a TFDS set")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "where TFDS sets lie")
_SIZE = flags.DEFINE_integer("size", 224, "pixels a side of the crops")
_BATCH = flags.DEFINE_integer("batch", 32, "images a batch")
_BATCHES = flags.DEFINE_integer("batches", 20, "batches a turn")
_TURNS = flags.DEFINE_integer("turns", 3, "turns of each side")
_WORKERS = flags.DEFINE_integer("workers", 1, "processes of each side")
_EPOCH = flags.DEFINE_integer("epoch", 0, "batches of the epoch over which the resident size is watched; 0: not")
SCALE = (0.08, 1.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Files:
    """Records of image files, in memory: what is measured is decoding, not the disk."""

    def __init__(self, folder: str):
        paths = sorted(pathlib.Path(folder).rglob("*"))
        self.files = [path.read_bytes() for path in paths if path.suffix.lower() in (".jpg", ".jpeg")]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.files[index], 0, str(index)


class TorchImages(torch.utils.data.Dataset):
    """The same records as a PyTorch user reads them."""

    def __init__(self, records, length: int, floats: bool):
        self.records, self.length = records, length
        last = [T.ToTensor(), T.Normalize(MEAN, STD)] if floats else [T.PILToTensor()]
        self.transform = T.Compose([T.RandomResizedCrop(_SIZE.value, SCALE), T.RandomHorizontalFlip(), *last])

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        data, label, _ = self.records[index % len(self.records)]
        return self.transform(PIL.Image.open(io.BytesIO(data)).convert("RGB")), label


def ours(records, decoder: str, batches: int):
    stream = Stream("benchmark", records, np.arange(len(records)), (_SIZE.value, _SIZE.value, 3), SCALE, decoder)
    copies = -(-_BATCH.value // len(records))  # a set smaller than a batch is shown more often
    made = TrainingBatches(stream, (0,), _BATCH.value, range(_BATCH.value), 0, batches, copies)
    return iterate(made, _WORKERS.value)


def theirs(records, floats: bool, batches: int):
    data = TorchImages(records, batches * _BATCH.value, floats)
    return iter(torch.utils.data.DataLoader(data, _BATCH.value, shuffle=True, num_workers=_WORKERS.value))


def speed(batches, count: int) -> float:
    """Images a second over `count` batches, after as many as the workers may have had ready."""
    ready = 4 * max(_WORKERS.value, 1)
    for _ in range(ready):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    elapsed = time.perf_counter() - start
    if hasattr(batches, "close"):
        batches.close()
    return count * _BATCH.value / elapsed


def compare(records):
    count = _BATCHES.value + 8 * max(_WORKERS.value, 1)
    sides = {
        "jaxstage, pillow": functools.partial(ours, records, "pillow", count),
        "peer, float": functools.partial(theirs, records, True, count),
        "peer, uint8": functools.partial(theirs, records, False, count),
    }
    try:
        import cv2

        cv2.setNumThreads(1)
        sides["jaxstage, opencv"] = functools.partial(ours, records, "opencv", count)
    except ImportError:
        print("OpenCV is not installed: its decoder is left out")
    turns = [{name: speed(make(), _BATCHES.value) for name, make in sides.items()} for _ in range(_TURNS.value)]
    cores = max(_WORKERS.value, 1)
    print(f"{'':18} {'images/s/core':>14} {'to peer, float':>15} {'to peer, uint8':>15}")
    for name in sides:
        ratio = lambda peer: statistics.median(turn[name] / turn[peer] for turn in turns)
        rate = statistics.median(turn[name] for turn in turns) / cores
        print(f"{name:18} {rate:14,.0f} {ratio('peer, float'):15.2f} {ratio('peer, uint8'):15.2f}", flush=True)


def parts(records, count: int = 200):
    """Milliseconds an image of each part of ours, in this process."""
    size, random = (_SIZE.value, _SIZE.value), np.random.default_rng(0)
    index = [int(i) for i in random.integers(0, len(records), count)]
    box_of = lambda width, height: random_box(width, height, size, SCALE, random)
    whole = lambda width, height: (0, 0, width, height)
    read = per_image(lambda: [records[i] for i in index], count)
    data = [records[i][0] for i in index]
    full = per_image(lambda: [PIL.Image.open(io.BytesIO(d)).convert("RGB") for d in data], count)
    crops = per_image(lambda: [decode(d, size, 3, box_of) for d in data], count)
    smallest = per_image(lambda: [decode(d, (1, 1), 3, whole) for d in data], count)
    print(
        f"where the time goes, ms an image: reading the record {read:.2f}, decode with crop and resize {crops:.2f} "
        f"(decoding all of it at full size alone {full:.2f}, at an eighth {smallest:.2f})"
    )


def per_image(function, count: int) -> float:
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start) / count


def memory(records):
    """Resident size of this process and its children at the start, in the middle and at the end."""
    sizes = {}
    for number, _ in enumerate(ours(records, "pillow", _EPOCH.value), 1):
        if number in (_EPOCH.value // 10, _EPOCH.value // 2, _EPOCH.value):
            sizes[number] = resident_mib()
    told = ", ".join(f"batch {number}: {size:,.0f} MiB" for number, size in sizes.items())
    print(f"resident size over {_EPOCH.value} batches of {_BATCH.value}: {told}")


def resident_mib() -> float:
    tasks = pathlib.Path("/proc/self/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    processes = [os.getpid(), *map(int, children)]
    pages = 0
    for process in processes:
        if (path := pathlib.Path(f"/proc/{process}/statm")).exists():
            pages += int(path.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(_):
    if (_IMAGES.value is None) == (_TFDS.value is None):
        raise app.UsageError("give --images or --tfds")
    torch.set_num_threads(1)
    records = Files(_IMAGES.value) if _IMAGES.value else open_source(_TFDS.value, _DATA_DIR.value).records("train")
    print(
        f"{len(records):,} images, crops of {_SIZE.value}, {_WORKERS.value} worker(s) a side, "
        f"torch {torch.__version__}, Pillow {PIL.__version__}",
        flush=True,
    )
    compare(records)
    parts(records)
    if _EPOCH.value:
        memory(records)


if __name__ == "__main__":
    app.run(main)
