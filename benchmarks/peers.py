"""The same network and training step in PyTorch, as its users write them: channels_last, batched augmentation."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, filters_in: int, filters: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(filters_in, filters, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Identity()
        if stride != 1 or filters_in != filters:
            self.shortcut = nn.Sequential(
                nn.Conv2d(filters_in, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def resnet(depths, widths, classes: int = 10) -> nn.Module:
    layers = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    filters_in = widths[0]
    for stage, (depth, filters) in enumerate(zip(depths, widths)):
        for block in range(depth):
            layers.append(Block(filters_in, filters, 2 if stage and not block else 1))
            filters_in = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters_in, classes))


class TorchTraining:
    """The step on random images; `run(steps)` waits for the last one."""

    def __init__(self, depths, widths, batch: int, dtype: str, compiled: bool = False, examples: int = 4096):
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = resnet(depths, widths).to(self._device, memory_format=torch.channels_last)
        decayed = [p for p in self._network.parameters() if p.ndim > 1]
        plain = [p for p in self._network.parameters() if p.ndim == 1]
        self._optimizer = torch.optim.SGD(
            [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}],
            lr=0.1,
            momentum=0.9,
            nesterov=True,
        )
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (examples, 3, 32, 32), np.uint8)
        self._images = torch.from_numpy(images).to(self._device)
        self._labels = torch.from_numpy(random.integers(0, 10, examples)).to(self._device)
        self._batch, self._dtype, self._done = batch, getattr(torch, dtype), 0
        self._loss = torch.compile(self._forward) if compiled else self._forward

    def run(self, steps: int):
        for _ in range(steps):
            start = self._done * self._batch % (len(self._labels) - self._batch + 1)
            self._done += 1
            chosen = slice(start, start + self._batch)
            images = crop_and_flip(self._images[chosen], padding=4)
            images = ((images.float() / 255 - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)
            self._optimizer.zero_grad(set_to_none=True)
            self._loss(images, self._labels[chosen]).backward()
            self._optimizer.step()
        if self._device == "cuda":
            torch.cuda.synchronize()

    def peak_bytes(self) -> int | None:
        """Of the device, or None on a CPU."""
        return torch.cuda.max_memory_allocated() if self._device == "cuda" else None

    def _forward(self, images, labels):
        with torch.autocast(self._device, self._dtype, enabled=self._dtype != torch.float32):
            return F.cross_entropy(self._network(images).float(), labels)


def crop_and_flip(images: torch.Tensor, padding: int) -> torch.Tensor:
    """A shift and a mirror for each image of the batch, in one gather."""
    n, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, (padding,) * 4)
    rows = torch.arange(height, device=device) + torch.randint(0, 2 * padding + 1, (n, 1), device=device)
    columns = torch.arange(width, device=device) + torch.randint(0, 2 * padding + 1, (n, 1), device=device)
    mirrored = torch.rand(n, 1, device=device) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    index = torch.arange(n, device=device)
    return padded[
        index[:, None, None, None],
        torch.arange(channels, device=device)[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def matmul_speed(dtype: str, size: int = 2048) -> float:
    """Operations a second of a matrix product."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix, seconds = torch.ones(size, size, dtype=getattr(torch, dtype), device=device), []
    for _ in range(6):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # waits for it
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
