"""How time and memory grow with positions, batch, classes, records, gallery, samples and files.

Each measurement is a process of its own, on one thread: the processor time of one call, which other people's jobs on
the machine hardly touch, and the peak of the process less what it held before the call. Medians of the rounds. The
exponent is that between the two largest sizes, where what does not grow matters least: 1 is linear.

    python benchmarks/scaling.py --csv benchmarks/results/scaling.csv
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import csv_files

Call = Callable[[], object]
WIDTH, QUERIES, SCORED = 64, 1_000, 4_096


@contextmanager
def positions(count: int) -> Iterator[Call]:
    """A spectral nonlocal block of 64 channels, forward and backward, on a map of so many positions."""
    import torch

    from blockyard.blocks import SpectralNonlocal

    block, side = SpectralNonlocal(WIDTH), math.isqrt(count)
    x = torch.randn(1, WIDTH, side, side, requires_grad=True)
    yield lambda: block(x).sum().backward()


@contextmanager
def batch(count: int) -> Iterator[Call]:
    """A training step of a residual network with a block on so many pictures of 32×32."""
    import torch

    from blockyard import plug
    from blockyard.backbones import PreResNet
    from blockyard.blocks import SpectralNonlocal

    network, x = PreResNet(10, 3, depth=8), torch.randn(count, 3, 32, 32)
    plug(network, SpectralNonlocal, "stage2.-1", example=x[:1], quiet=True)
    yield lambda: network(x).logsumexp(1).sum().backward()


@contextmanager
def classes(count: int) -> Iterator[Call]:
    """The metrics of a test of 4,096 samples of so many classes."""
    import torch

    from blockyard.tasks.classification.base import _metrics

    metrics = _metrics(count, "test/")
    logits, labels = torch.randn(SCORED, count), torch.randint(count, (SCORED,))

    def score() -> object:
        metrics.update(logits, labels)
        return metrics.compute()

    yield score


@contextmanager
def records(count: int) -> Iterator[Call]:
    """The leaderboard's tables and page of so many runs, each with the scores of 1,000 test samples."""
    from leaderboard_page import make

    from blockyard.leaderboard.command import records_in
    from blockyard.leaderboard.page import page
    from blockyard.leaderboard.profile import profile
    from blockyard.leaderboard.tables import tables

    def read(folder: Path) -> str:
        found = records_in([folder])
        return page(tables(found, [folder]), profile(found))

    with tempfile.TemporaryDirectory() as name:
        make(Path(name), count, tasks=5, seeds=5)
        yield partial(read, Path(name))


@contextmanager
def gallery(count: int) -> Iterator[Call]:
    """The ranking of so many items for 1,000 queries, D = 128."""
    from reid_eval import scene

    from blockyard.retrieval import rank

    yield partial(rank, *scene(QUERIES, count, 128))


@contextmanager
def samples(count: int) -> Iterator[Call]:
    """The order of an epoch of so many samples, for one of 64 processes."""
    from blockyard.datamodules.loading import TrainSampler

    yield lambda: sum(1 for _ in TrainSampler(count, 4096, 0, rank=0, world=64))


@contextmanager
def files(count: int) -> Iterator[Call]:
    """To list so many files in folders of 100 classes; they are empty, and not opened."""
    from blockyard.datamodules import ImageFolder

    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            folder = Path(name, "train", f"class{number % 100:03d}")
            if number < 100:
                folder.mkdir(parents=True)
            (folder / f"{number:07d}.jpg").touch()
        yield lambda: len(ImageFolder(name).load("train"))


CASES: dict[str, tuple[Callable[[int], Any], tuple[int, ...]]] = {
    "positions": (positions, (4_096, 16_384, 65_536, 262_144)),
    "batch": (batch, (16, 64, 256, 1_024)),
    "classes": (classes, (100, 1_000, 10_000)),
    "records": (records, (500, 1_000, 2_000, 4_000)),
    "gallery": (gallery, (10_000, 40_000, 160_000)),
    "samples": (samples, (1_000_000, 10_000_000, 100_000_000)),
    "files": (files, (10_000, 40_000, 160_000)),
}


def one(case: str, size: int) -> dict[str, float]:
    """Seconds and megabytes of one call in this process."""
    make, sizes = CASES[case]
    with make(sizes[0]) as call:  # what is imported and allocated once is no part of it
        call()
    with make(size) as call:
        before, start = resident(), time.process_time()
        call()
        return {"seconds": time.process_time() - start, "MB": peak() - before}


def resident() -> float:
    """Megabytes of this process now, after which its peak is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def peak() -> float:
    """Megabytes of this process at its largest since."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def measure(case: str, size: int, rounds: int) -> dict[str, Any]:
    """A row: medians of the rounds, each in a process of its own."""
    command = [sys.executable, __file__, "--one", case, str(size)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    found = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {"case": case, "size": size} | {key: statistics.median(run[key] for run in found) for key in found[0]}


def exponent(smaller: dict[str, Any], larger: dict[str, Any], of: str) -> float:
    """The power of the size that what is measured grows as."""
    return math.log(larger[of] / smaller[of]) / math.log(larger["size"] / smaller["size"])


def main() -> None:
    """Measure, print, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return
    rows: list[dict[str, Any]] = []
    for case in options.cases:
        for size in CASES[case][1]:
            row = measure(case, size, options.rounds)
            before = rows[-1] if rows and rows[-1]["case"] == case else None
            for key, name in (("seconds", "time_exponent"), ("MB", "memory_exponent")):
                row[name] = round(exponent(before, row, key), 3) if before and before[key] > 1e-3 < row[key] else ""
            rows.append(row | {"seconds": round(row["seconds"], 4), "MB": round(row["MB"], 2)})
            print(*(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    csv_files.write(options.csv, rows)


if __name__ == "__main__":
    main()
