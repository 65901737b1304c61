"""What the scripts in ``examples/`` find, with several seeds.

Each is called as from a shell, at its own sizes: about a minute a seed on one core.

    python benchmarks/examples.py --csv benchmarks/results/examples.csv
"""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import csv_files

EXAMPLES = Path(__file__).parents[1] / "examples"


def found(name: str, seed: int) -> Any:
    """What an example returns."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](["--seed", str(seed)])


def rows(seed: int) -> Iterator[dict[str, Any]]:
    """One row a number."""
    for kind, (distance, share) in found("apollo", seed).items():
        yield {"example": "apollo", "of": kind, "what": "energy distance", "value": distance}
        yield {"example": "apollo", "of": kind, "what": "nearest to their word, %", "value": 100 * share}
    for kind, accuracies in found("graph", seed).items():
        yield {"example": "graph", "of": kind, "what": "accuracy, %", "value": 100 * fmean(accuracies)}
    for kind, recall in found("img_text_match", seed).items():
        yield {"example": "img_text_match", "of": kind, "what": "recall, %", "value": 100 * recall}


def main() -> None:
    """Print the numbers, and write them where a file is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--csv", type=Path, help="also write a CSV file")
    options = parser.parse_args()
    listed = [{"seed": seed, **row, "value": f"{row['value']:.4g}"} for seed in options.seeds for row in rows(seed)]
    for row in listed:
        print(*row.values(), sep="  ")
    csv_files.write(options.csv, listed)


if __name__ == "__main__":
    main()
