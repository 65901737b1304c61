"""What a linear classifier of frozen features takes of memory: features in memory or in a file, whole or in blocks.

Made-up features of 512 dimensions and ten classes, three steps of one fit, each way in a process of its own. Peak
memory is anonymous memory, sampled every two milliseconds, above what the process had before: pages of a file are the
system's to drop. "whole" is one block of all samples, whose double precision makes further copies.

    python benchmarks/features.py --csv benchmarks/results/features.csv
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import csv_files
import torch

from blockyard.analysis import feature_table, linear

SAMPLES = (40_000, 80_000, 160_000)
WIDTH, CLASSES, STEPS, PART = 512, 10, 3, 1000
WAYS = {"whole, in memory": (2**62, 2**62), "in blocks, in memory": (2**62, 2**23), "in blocks, in a file": (0, 2**23)}
"""Bytes held in memory, and numbers in a block."""


def anonymous() -> int:
    """Bytes that the process has for itself now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def measure(way: str, samples: int) -> tuple[float, float, float]:
    """Peak in MB above the start, seconds, and a number that says what was fitted."""
    feature_table.IN_MEMORY, linear.BLOCK = WAYS[way]
    linear.STEPS = STEPS
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(samples) % CLASSES
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    peak, done, before = anonymous(), threading.Event(), anonymous()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        table = feature_table.FeatureTable(samples, Path(folder))
        for part in targets.split(PART):
            table.add(centres[part] + 4 * torch.randn(len(part), WIDTH, generator=generator))
        with warnings.catch_warnings(action="ignore"):
            found, _ = linear.choose((table.rows, targets), (table.rows, targets), CLASSES, (1e-3,))
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    return (peak - before) / 1e6, seconds, float(found.weight.norm())


def main() -> None:
    """Measure each way in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--one", nargs=2)
    asked = parser.parse_args()
    if asked.one:
        print(*measure(asked.one[0], int(asked.one[1])))
        return
    rows = []
    for samples in SAMPLES:
        for way in WAYS:
            command = [sys.executable, __file__, "--one", way, str(samples)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            peak, seconds, norm = map(float, said.split())
            row = {"features_MB": f"{4e-6 * samples * WIDTH:.0f}", "peak_MB": f"{peak:.0f}", "s": f"{seconds:.1f}"}
            rows.append({"machine": platform.machine(), "samples": samples, "way": way, **row, "norm": f"{norm:.9f}"})
            print(rows[-1])
    csv_files.write(asked.csv, rows)


if __name__ == "__main__":
    main()
