"""How many training clips a second the data module gives, beside pytorchvideo's with the same sampler and size.

Both draw one random clip of 16 frames, every second one, from each video in random order, resize its short side to a
random length, crop 112×112, flip and normalise. The videos are like those of UCF-101: 320×240, 25 fps, 7.2 s, MPEG-4 in
AVI files. Run: python benchmarks/video.py [--csv FILE]
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader

from blockyard.datamodules import VideoFolder
from blockyard.media.decoding import Backend, default_backend
from blockyard.samples.ucf_layout import write_avi

FRAMES, STRIDE, SIZE, SHORT, FPS, LENGTH = 16, 2, 112, (128, 160), 25, 180
BATCH_SIZE = 8
KEYFRAMES = (12, 250)
"""Frames from one keyframe to the next: FFmpeg's default, and XviD's largest."""
COLUMNS = ("library", "decoder", "keyframe every", "workers", "clips/s", "times pytorchvideo")


def write_videos(root: Path, videos: int, keyframe_every: int) -> None:
    """A window that moves over a picture of clouds, in two classes."""
    for number in range(videos):
        generator = np.random.default_rng(number)
        clouds = generator.integers(0, 256, size=(60, 80, 3), dtype=np.uint8)
        wide = cv2.resize(clouds, (960, 720), interpolation=cv2.INTER_CUBIC)
        frames = np.stack([wide[2 * time : 2 * time + 240, 3 * time : 3 * time + 320] for time in range(LENGTH)])
        path = root / "train" / "ab"[number % 2] / f"{number:03d}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_avi(path, frames, FPS, keyframe_every)


class PlainTransform:
    """What pytorchvideo's tutorial does to a clip; its ``transforms`` do not import beside a torchvision of today."""

    def __init__(self, mean: Iterable[float], std: Iterable[float]) -> None:
        self.mean = torch.tensor(mean).view(3, 1, 1, 1)
        self.std = torch.tensor(std).view(3, 1, 1, 1)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """``video`` float (3, T', H, W) in 0 to 255, to (3, T, SIZE, SIZE)."""
        clip: Tensor = sample["video"]
        clip = clip[:, torch.linspace(0, clip.shape[1] - 1, FRAMES).long()]
        clip = (clip / 255 - self.mean) / self.std
        short = random.randint(*SHORT)
        scale = short / min(clip.shape[2:])
        size = [round(side * scale) for side in clip.shape[2:]]
        clip = torch.nn.functional.interpolate(clip, size=size, mode="bilinear", align_corners=False)
        top, left = random.randint(0, size[0] - SIZE), random.randint(0, size[1] - SIZE)
        clip = clip[:, :, top : top + SIZE, left : left + SIZE]
        return {"input": clip.flip(-1) if random.random() < 0.5 else clip, "target": sample["label"]}


def videos_in(root: str, workers: int = 0) -> VideoFolder:
    """The data module."""
    return VideoFolder(root, frames=FRAMES, stride=STRIDE, size=SIZE, batch_size=BATCH_SIZE, num_workers=workers)


def ours(root: str, backend: Backend, workers: int) -> Callable[[], DataLoader]:
    """Loader of the data module."""
    data = videos_in(root, workers)
    data.split("train").backend = backend  # type: ignore[attr-defined]
    return data.train_dataloader


def theirs(root: str, workers: int) -> Callable[[], DataLoader]:
    """Loader of pytorchvideo, over the same files."""
    data = videos_in(root)
    listing = data.videos("train")
    paths = [(str(path), {"label": int(target)}) for path, target in zip(listing.paths, listing.targets, strict=True)]
    sampler = make_clip_sampler("random", FRAMES * STRIDE / FPS)
    transform = PlainTransform(data.mean, data.std)
    source = LabeledVideoDataset(paths, sampler, transform=transform, decode_audio=False, decoder="pyav")
    return lambda: DataLoader(source, BATCH_SIZE, num_workers=workers, persistent_workers=workers > 0)


def clips_a_second(makers: Sequence[Callable[[], DataLoader]], epochs: int) -> list[float]:
    """Best of some epochs of each, taken in turns because machines have moods; a first one starts the workers."""
    loaders = [make() for make in makers]
    best = [0.0] * len(loaders)
    for epoch in range(1 + epochs):
        for number, loader in enumerate(loaders):
            start = time.perf_counter()
            count = sum(len(batch["target"]) for batch in loader)
            rate = count / (time.perf_counter() - start)
            best[number] = max(best[number], rate if epoch else 0.0)
    return best


def measure(videos: int, epochs: int) -> list[tuple[object, ...]]:
    """Rows under :data:`COLUMNS`."""
    backends: list[Backend] = ["pyav"] if default_backend() == "pyav" else ["pyav", "torchcodec"]
    rows: list[tuple[object, ...]] = []
    for every in KEYFRAMES:
        with tempfile.TemporaryDirectory() as root:
            write_videos(Path(root), videos, every)
            for workers in (0, 2):
                makers = [theirs(root, workers), *(ours(root, backend, workers) for backend in backends)]
                base, *rates = clips_a_second(makers, epochs)
                rows.append(("pytorchvideo", "pyav", every, workers, f"{base:.1f}", "1.00"))
                for backend, rate in zip(backends, rates, strict=True):
                    rows.append(("blockyard", backend, every, workers, f"{rate:.1f}", f"{rate / base:.2f}"))
    return rows


def main() -> None:
    """Print the table, and write it with ``--csv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=48, help="how many videos to write and read")
    parser.add_argument("--epochs", type=int, default=3, help="epochs to take the best of")
    parser.add_argument("--csv", type=Path, help="file to write the table to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")
    rows = measure(arguments.videos, arguments.epochs)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
    if default_backend() != "torchcodec":
        print("torchcodec is not measured: it is not installed or finds no FFmpeg libraries")
    if arguments.csv:
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        with arguments.csv.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
