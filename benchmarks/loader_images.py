"""How many training pictures a second the loader of picture files gives, beside torchvision's ImageFolder and v2.

Both decode JPEG files of 500×375 pixels (parts of photographs, 4:2:0, quality 90), crop at random to 8 to 100 % of the
area, resize to 224×224, flip and normalise, in batches of 64. torchvision takes its recipe's way, on Pillow pictures,
and beside it the one on tensors. Epochs of all are interleaved, so that what else the machine does falls on all alike;
times are medians, of the wall clock and of the processors, workers included.

    python benchmarks/loader_images.py [--csv FILE]
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import v2

from blockyard.datamodules import ImageFolder
from blockyard.datamodules.images import IMAGENET_MEAN, IMAGENET_STD
from blockyard.samples.photographs import crop, read_photographs

BATCH_SIZE, SIZE, REPEATS = 64, 224, 7
HELD_OUT = 2
PICTURES = 8 * BATCH_SIZE + HELD_OUT
"""Whole batches for both loaders, and as many for each worker."""
COLUMNS = ("loader", "workers", "pictures/s", "CPU ms a picture", "times torchvision", "CPU times torchvision")
Times = tuple[float, float]
"""Seconds of the wall clock and of the processors."""


def write_pictures(root: Path) -> None:
    """Two classes of parts of photographs, with a photograph's grain: files of about 100 kB, as ImageNet's are."""
    photographs = read_photographs()
    for number in range(PICTURES):
        random = np.random.default_rng(number)
        picture = crop(random, photographs[number % 3], (375, 500)).astype(np.float32)
        grain = random.normal(0, 6, size=picture.shape[:2])[..., None]
        path = root / "train" / "ab"[number % 2] / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def ours(root: Path, workers: int) -> DataLoader:
    """This package's training loader; two pictures are held out for validation."""
    data = ImageFolder(str(root), size=SIZE, val_fraction=1e-6, batch_size=BATCH_SIZE, num_workers=workers)
    return data.train_dataloader()


def theirs(root: Path, workers: int, tensors: bool) -> DataLoader:
    """torchvision's, with the transforms of its reference recipe."""
    first = [v2.PILToTensor()] if tensors else []
    last = [] if tensors else [v2.PILToTensor()]
    steps = [
        *first,
        v2.RandomResizedCrop(SIZE, antialias=True),
        v2.RandomHorizontalFlip(),
        *last,
        v2.ToDtype(torch.float, scale=True),
        v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        *([] if tensors else [v2.ToPureTensor()]),
    ]
    pictures = datasets.ImageFolder(root / "train", v2.Compose(steps))
    keep = workers > 0
    return DataLoader(pictures, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=keep)


def timed(loader: DataLoader) -> Times:
    """An epoch, a picture; the workers' processor time is read off while they live."""
    wall, cpu = time.perf_counter(), processor_seconds(loader)
    count = sum(len(batch[0] if isinstance(batch, list) else batch["input"]) for batch in loader)
    return (time.perf_counter() - wall) / count, (processor_seconds(loader) - cpu) / count


def processor_seconds(loader: DataLoader) -> float:
    """Of this process and of the loader's workers, in user and system mode."""
    workers = getattr(getattr(loader, "_iterator", None), "_workers", [])
    ticks = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for worker in workers:
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def compare(root: Path, workers: int) -> list[tuple[str | int | float, ...]]:
    """Rows of :data:`COLUMNS`."""
    loaders = {
        "torchvision, Pillow": theirs(root, workers, tensors=False),
        "torchvision, tensors": theirs(root, workers, tensors=True),
        "blockyard": ours(root, workers),
    }
    found: dict[str, list[Times]] = {name: [] for name in loaders}
    for repeat in range(REPEATS + 1):
        for name, loader in loaders.items():
            times = timed(loader)
            if repeat:  # the first starts the workers and warms the files
                found[name].append(times)
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in found.items()
    }
    peer = medians["torchvision, Pillow"]
    return [
        (name, workers, round(1 / wall, 1), round(1000 * cpu, 3), round(peer[0] / wall, 2), round(peer[1] / cpu, 2))
        for name, (wall, cpu) in medians.items()
    ]


def main() -> None:
    """Print the table, and write it as CSV if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path)
    target = parser.parse_args().csv
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        rows = [row for workers in (0, 2) for row in compare(Path(folder), workers)]
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
    if target:
        with target.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
