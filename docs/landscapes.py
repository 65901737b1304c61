"""Write the table and the picture of the landscapes in docs/inspect.md: ``python docs/landscapes.py FOLDER``.

FOLDER holds the runs ``average-0``, ``ISqrtCov-0`` and so forth, by pooling and seed; docs/inspect.md says how they are
trained.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from blockyard.analysis.landscape import Landscape
from blockyard.analysis.landscape_drawing import draw_training

DOCS = Path(__file__).parent
POOLINGS = ("average", "ISqrtCov")
SEEDS = (0, 1, 2)
THIRDS = ("first", "second", "last")


def measured(folder: Path, pooling: str, seed: int) -> dict[int, Landscape]:
    """What a run measured, by optimiser step."""
    rows = json.loads((folder / f"{pooling}-{seed}" / "landscape.json").read_text())
    names = ("loss", "gradient_norm", "steps", "losses", "gradient_changes")
    return {
        row["step"]: Landscape(**{name: tuple(v) if isinstance(v := row[name], list) else v for name in names})
        for row in rows
    }


def table(runs: dict[tuple[str, int], dict[int, Landscape]]) -> Iterator[dict[str, Any]]:
    """A row for each measurement."""
    for (pooling, seed), found in runs.items():
        for step, one in found.items():
            numbers = {
                "loss": one.loss,
                "lowest_loss": one.loss_range[0],
                "highest_loss": one.loss_range[1],
                "gradient_norm": one.gradient_norm,
                "largest_change": max(one.gradient_changes),
                "lipschitz": one.lipschitz,
                "smoothness": one.smoothness,
            }
            yield {"pooling": pooling, "seed": seed, "step": step} | {k: f"{v:.4g}" for k, v in numbers.items()}


def main(folder: str) -> None:
    """Write both, and print the medians of each third of the training."""
    runs = {(pooling, seed): measured(Path(folder), pooling, seed) for pooling in POOLINGS for seed in SEEDS}
    rows = list(table(runs))
    with (DOCS / "landscapes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (DOCS / "landscapes.png").write_bytes(draw_training({name: runs[name, 0] for name in POOLINGS}))
    last = max(row["step"] for row in rows) + 1
    for number, third in enumerate(THIRDS):
        for pooling in POOLINGS:
            own = [row for row in rows if row["pooling"] == pooling and row["step"] * 3 // last == number]
            print(f"{third} third, {pooling}:", end=" ")
            for name in ("loss", "gradient_norm", "lipschitz", "smoothness"):
                by_seed = [median(float(row[name]) for row in own if row["seed"] == seed) for seed in SEEDS]
                print(f"{name} {' '.join(f'{value:.3g}' for value in by_seed)};", end=" ")
            spread = median(float(row["highest_loss"]) - float(row["lowest_loss"]) for row in own)
            print(f"range of the loss {spread:.3g}")


if __name__ == "__main__":
    main(sys.argv[1])
