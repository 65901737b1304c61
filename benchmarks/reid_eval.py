"""Time and memory of evaluating person re-identification, from features to mAP, beside torchreid's evaluator.

Each measurement is a process of its own, the candidates in turns; medians of some rounds. Features are synthetic
(float32, cosine distance): identities with 20 gallery items each, and distractors. The peer is torchreid's distance
matrix and evaluator where torchreid is installed; beside it stands the same full matrix and sort in NumPy without
loops over the items. Compared is processor time, which other people's jobs on the machine hardly touch. Memory is the
peak of the process less what it held before, features included.

    python benchmarks/reid_eval.py --csv benchmarks/results/reid_eval.csv
    python benchmarks/reid_eval.py --large --width 128
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blockyard.retrieval import rank

SIZES = ((1_000, 10_000), (3_000, 20_000))
WIDTHS = (512, 2048)
LARGE = (20_000, 1_000_000)
ITEMS, CAMERAS = 20, 6
Case = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def scene(queries: int, gallery: int, width: int) -> Case:
    """Features, identities and cameras; four queries an identity, and noise that leaves the ranking imperfect."""
    generator = torch.Generator().manual_seed(0)
    identities = queries // 4
    query_ids = torch.arange(queries) % identities + 1
    gallery_ids = torch.arange(gallery) % identities + 1
    gallery_ids[ITEMS * identities :] = 0
    centres = torch.randn(identities + 1, width, generator=generator)
    # Distractors have no common centre; the noise of 2048 channels averages out more than that of 128.
    centres[0] = 0
    noise = 1.6 * (width / 128) ** 0.25

    def features(ids: Tensor) -> Tensor:
        found = torch.randn(len(ids), width, generator=generator).mul_(noise)
        for some, part in zip(ids.split(4096), found.split(4096), strict=True):
            part += centres[some]
        return found

    cameras = [torch.randint(CAMERAS, (size,), generator=generator) for size in (queries, gallery)]
    return features(query_ids), features(gallery_ids), query_ids, gallery_ids, cameras[0], cameras[1]


def blockyard(*case: Tensor) -> tuple[float, float]:
    """The mAP and rank-1."""
    ranking = rank(*case)
    return ranking.mAP, ranking.cmc(1)


def torchreid(*case: Tensor) -> tuple[float, float]:
    """Its distance matrix and evaluator as its engine calls them."""
    from torchreid.reid.metrics import compute_distance_matrix, evaluate_rank

    distances = compute_distance_matrix(case[0], case[1], "cosine").numpy()
    cmc, mean = evaluate_rank(distances, *(label.numpy() for label in case[2:]))
    return float(mean), float(cmc[0])


def plain(*case: Tensor) -> tuple[float, float]:
    """The full matrix, sorted, and one query after the other."""
    queries, gallery = (torch.nn.functional.normalize(side, dim=1) for side in case[:2])
    order = np.argsort((1 - queries @ gallery.T).numpy(), axis=1)
    query_ids, gallery_ids, query_cameras, gallery_cameras = (label.numpy() for label in case[2:])
    precisions, firsts = [], []
    for row, identity, camera in zip(order, query_ids, query_cameras, strict=True):
        match = gallery_ids[row] == identity
        ranks = np.flatnonzero(match[~(match & (gallery_cameras[row] == camera))]) + 1
        if len(ranks):
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
            firsts.append(ranks[0] == 1)
    return float(np.mean(precisions)), float(np.mean(firsts))


CANDIDATES: dict[str, Callable[..., tuple[float, float]]] = {
    "blockyard": blockyard,
    "torchreid": torchreid,
    "NumPy": plain,
}


def peak_megabytes() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, queries: int, gallery: int, width: int) -> dict[str, float]:
    """One evaluation, in this process."""
    warnings.simplefilter("ignore")
    # A first small one imports and warms up what is loaded late.
    CANDIDATES[name](*scene(8, 200, 8))
    before = peak_megabytes()
    case = scene(queries, gallery, width)
    start, cpu_start = time.perf_counter(), time.process_time()
    mean, first = CANDIDATES[name](*case)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {"seconds": seconds, "CPU": cpu_seconds, "MB": peak_megabytes() - before, "mAP": mean, "rank-1": first}


def in_own_process(name: str, queries: int, gallery: int, width: int, threads: int) -> dict[str, float]:
    """:func:`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", name, str(queries), str(gallery), str(width)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def installed() -> dict[str, str]:
    """Candidates that can run, with their versions."""
    found = {"blockyard": "", "NumPy": np.__version__}
    try:
        found["torchreid"] = importlib.metadata.version("torchreid")
    except importlib.metadata.PackageNotFoundError:
        print("torchreid is not installed: its evaluator is not measured")
    return found


def rows_of(names: list[str], size: tuple[int, int], width: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    """One row a candidate."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(in_own_process(name, *size, width, threads))
    ours = [result["CPU"] for result in found["blockyard"]]
    rows = []
    for name, results in found.items():
        cpu_seconds = [result["CPU"] for result in results]
        row = {"queries": size[0], "gallery": size[1], "width": width, "threads": threads, "evaluator": name}
        row["seconds"] = round(statistics.median(result["seconds"] for result in results), 2)
        row["CPU_seconds"] = round(statistics.median(cpu_seconds), 2)
        row["times_blockyard"] = round(statistics.median(a / b for a, b in zip(cpu_seconds, ours, strict=True)), 2)
        row["peak_MB"] = round(statistics.median(result["MB"] for result in results))
        row |= {key: round(results[0][key], 6) for key in ("mAP", "rank-1")}
        rows.append(row)
    return rows


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a table at once: a run takes long, and may be ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """Measure, print, and add to the table with ``--csv``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="file to write the table to; rows are added if it exists")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, nargs="+", default=WIDTHS, help="channels D of the features")
    parser.add_argument("--large", action="store_true", help="20,000 × 1,000,000, blockyard alone, one round")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], *map(int, options.one[1:]))))
        return
    versions = installed()
    label = {
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "torchreid": versions.get("torchreid", ""),
    }
    print(", ".join(f"{key} {value}" for key, value in label.items()))
    names = ["blockyard"] if options.large else [name for name in CANDIDATES if name in versions]
    for width in options.width:
        for size in (LARGE,) if options.large else SIZES:
            for row in rows_of(names, size, width, 1 if options.large else options.rounds, options.threads):
                print(*(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
                if options.csv:
                    append(options.csv, label | row)


if __name__ == "__main__":
    main()
