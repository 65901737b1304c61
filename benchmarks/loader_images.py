"""How many pictures a second the loader of picture files gives, beside torchvision's ImageFolder and v2.

All decode JPEG files (4:2:0, quality 90, with a photograph's grain) of 500×375 pixels or of 12 megapixels. In training
they crop at random to 8 to 100 % of the area, resize to 224×224 and flip; in a test they resize the short side to 256
and take the middle. All normalise. torchvision takes its recipe's way, on Pillow pictures, and beside it the one on
tensors; this package's way stands with every pixel decoded and with ``decode: reduced``. Epochs of all are
interleaved, so that what else the machine does falls on all alike; times are medians, of the wall clock and of the
processors, workers included, which are what one core gives; the spread is the least and largest of the latter.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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

SIZE, REPEATS = 224, 7
HELD_OUT = 2
COLUMNS = (
    "pictures",
    "use",
    "loader",
    "workers",
    "MB a file",
    "pictures/s",
    "CPU ms a picture",
    "spread",
    "times torchvision",
    "CPU times torchvision",
    "levels from exact",
)
Times = tuple[float, float]
"""Seconds of the wall clock and of the processors."""


@dataclass(frozen=True)
class Kind:
    """Pictures of one size: how many of them, so that batches are whole for both loaders, and a batch."""

    height: int
    width: int
    count: int
    batch_size: int

    def write(self, root: Path) -> None:
        """Two classes of parts of photographs; of 500×375 the files have about 75 kB."""
        photographs = read_photographs()
        for number in range(self.count + HELD_OUT):
            random = np.random.default_rng(number)
            picture = crop(random, photographs[number % 3], (self.height, self.width)).astype(np.float32)
            grain = random.normal(0, 6, size=picture.shape[:2])[..., None]
            path = root / "train" / "ab"[number % 2] / f"{number:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
        (root / "test").symlink_to(root / "train")


KINDS = {"500×375": Kind(375, 500, 512, 64), "4000×3000": Kind(3000, 4000, 8, 4)}


def ours(root: Path, batch_size: int, use: str, workers: int, decode: Literal["reduced"] | None) -> DataLoader:
    """This package's loader; two pictures are held out for validation."""
    data = ImageFolder(
        str(root), size=SIZE, val_fraction=1e-6, batch_size=batch_size, num_workers=workers, decode=decode
    )
    return data.train_dataloader() if use == "training" else data.test_dataloader()


def theirs(root: Path, batch_size: int, use: str, workers: int, tensors: bool) -> DataLoader:
    """torchvision's, with the transforms of its reference recipe."""
    training = use == "training"
    first = [v2.PILToTensor()] if tensors else []
    last = [] if tensors else [v2.PILToTensor()]
    views = [v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip()]
    steps = [
        *first,
        *(views if training else [v2.Resize(round(SIZE / 0.875), antialias=True), v2.CenterCrop(SIZE)]),
        *last,
        v2.ToDtype(torch.float, scale=True),
        v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        *([] if tensors else [v2.ToPureTensor()]),
    ]
    pictures = datasets.ImageFolder(root / "train", v2.Compose(steps))
    keep = workers > 0
    return DataLoader(
        pictures, batch_size, shuffle=training, drop_last=training, num_workers=workers, persistent_workers=keep
    )


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


def levels(root: Path, batch_size: int, use: str) -> float:
    """Mean difference of a value between both ways of decoding, in units of its 256 levels."""
    loaders = [ours(root, batch_size, use, 0, decode) for decode in (None, "reduced")]
    means = [
        ((first["input"] - second["input"]).abs().mean((0, 2, 3)) * torch.tensor(IMAGENET_STD)).mean().item()
        for first, second in zip(*loaders, strict=True)
    ]
    return 255 * statistics.mean(means)


def compare(root: Path, name: str, use: str, workers: int) -> list[tuple[str | int | float, ...]]:
    """Rows of :data:`COLUMNS`."""
    place = (root, KINDS[name].batch_size, use, workers)
    loaders = {
        "torchvision, Pillow": theirs(*place, tensors=False),
        "torchvision, tensors": theirs(*place, tensors=True),
        "blockyard": ours(*place, None),
        "blockyard, reduced": ours(*place, "reduced"),
    }
    found: dict[str, list[Times]] = {loader: [] for loader in loaders}
    for repeat in range(REPEATS + 1):
        for title, loader in loaders.items():
            times = timed(loader)
            if repeat:  # the first starts the workers and warms the files
                found[title].append(times)
    medians = {
        title: [statistics.median(column) for column in zip(*times, strict=True)] for title, times in found.items()
    }
    peer = medians["torchvision, Pillow"]
    size = statistics.mean(path.stat().st_size for path in (root / "train").rglob("*.jpg")) / 1e6
    rows: list[tuple[str | int | float, ...]] = []
    for title, (wall, cpu) in medians.items():
        spread = " – ".join(f"{1000 * bound(cpu for _, cpu in found[title]):.3f}" for bound in (min, max))
        measured = (round(1 / wall, 1), round(1000 * cpu, 3), spread, round(peer[0] / wall, 2), round(peer[1] / cpu, 2))
        away = round(levels(*place[:3]), 2) if title.endswith("reduced") else ""
        rows.append((name, use, title, workers, round(size, 3), *measured, away))
    return rows


def main() -> None:
    """Print the table, and write it as CSV if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path)
    target = parser.parse_args().csv
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")
    rows: list[tuple[str | int | float, ...]] = []
    for name, kind in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            kind.write(Path(folder))
            for use, workers in (("training", 0), ("training", 2), ("test", 0)):
                rows += compare(Path(folder), name, use, workers)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
    if target:
        with target.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
