"""Mixers on long series: TCNCA beside attention of one head over all steps.

Each measurement is a process of its own, on one thread: processor time of a forward pass and of its backward pass, and
the peak of the process less what it held before, in the forward pass alone and in both. Medians of the rounds. The
dense attention is torch's scaled_dot_product_attention on maps of as many channels, without projections: the least that
any dense attention takes. It makes no matrix of steps, so that its memory is that of its inputs.
Of the longest series it takes minutes, and is measured once.

    python benchmarks/long_series.py --csv benchmarks/results/long_series.csv
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import csv_files
from scaling import peak, resident

WIDTH = 64
SIZES = (2_048, 8_192, 32_768, 131_072)


def mixer(name: str) -> Callable[[Any], Any]:
    """What maps a series ``(1, C, N)`` to the same shape."""
    import torch.nn.functional as F

    from blockyard.blocks import TCNCA

    if name == "TCNCA":
        return TCNCA(WIDTH, 1)
    return lambda x: F.scaled_dot_product_attention(*[x.mT.contiguous()[:, None]] * 3)[:, 0].mT


def one(name: str, steps: int) -> dict[str, float]:
    """Seconds and megabytes of both passes in this process."""
    import torch

    run = mixer(name)
    run(torch.randn(1, WIDTH, SIZES[0], requires_grad=True)).sum().backward()  # what is allocated once
    x = torch.randn(1, WIDTH, steps, requires_grad=True)
    before, start = resident(), time.process_time()
    y = run(x).sum()
    middle, forward_peak = time.process_time(), peak()
    y.backward()
    return {
        "forward s": middle - start,
        "backward s": time.process_time() - middle,
        "forward MB": forward_peak - before,
        "both MB": peak() - before,
    }


def measure(name: str, steps: int, rounds: int) -> dict[str, Any]:
    """A row: medians of the rounds, each in a process of its own."""
    command = [sys.executable, __file__, "--one", name, str(steps)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    found = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {"mixer": name, "steps": steps, "rounds": rounds} | {
        key: round(statistics.median(run[key] for run in found), 3) for key in found[0]
    }


def main() -> None:
    """Measure, print, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return
    rows = []
    for name in ("TCNCA", "dense"):
        for steps in SIZES:
            once = name == "dense" and steps == SIZES[-1]
            rows.append(measure(name, steps, 1 if once else options.rounds))
            print(*(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    csv_files.write(options.csv, rows)


if __name__ == "__main__":
    main()
