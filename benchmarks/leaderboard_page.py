"""How long the leaderboard takes over many records, how large its page is, and how fast a browser answers on it.

The records are synthetic and valid, each with the scores of 1,000 test samples beside it. ``study``: five seeds an
experiment, five tables. ``flat``: one seed, one table, as large as a table can get. ``cpu_seconds`` is the processor
time of ``blockyard leaderboard --html`` from start to end, which other people's jobs on the machine hardly touch; it
runs on one thread. The browser is headless Chromium, left out where there is none. Writing the records waits for the
disk; TMPDIR=/dev/shm spares it.

    python benchmarks/leaderboard_page.py --csv benchmarks/results/leaderboard_page.csv
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import csv_files
import numpy as np

from blockyard.leaderboard.record import Record, described, write
from blockyard.leaderboard.scores import write_scores

ROOT = Path(__file__).parents[1]
BLOCKS = (None, "Nonlocal", "SpectralNonlocal", "GlobalContext", "DoubleAttention", "SqueezeExcitation")
TASKS = (
    ("ImageClassification", "CIFAR100"),
    ("ImageClassification", "Digits"),
    ("ActionRecognition", "UCF101"),
    ("AudioClassification", "ESC50"),
    ("PersonReID", "Market1501"),
)
SAMPLES = 1_000
COLUMNS = (
    "case",
    "records",
    "experiments",
    "tables",
    "seconds",
    "cpu_seconds",
    "page_MB",
    "load_ms",
    "sort_ms",
    "filter_ms",
)


def configurations(tasks: int, seeds: int) -> Iterator[dict[str, Any]]:
    """Endless resolved configurations: all blocks, seeds and tasks of one setting, then those of the next."""
    for setting in range(10**6):
        for (task, data), block, seed in product(TASKS[:tasks], BLOCKS, range(seeds)):
            depth, place = 8 + 12 * (setting % 6), f"stage{1 + setting // 6 % 3}.-1"
            plug = {"block": {"class_path": f"blockyard.blocks.{block}"}, "at": place} if block else {}
            yield {
                "seed_everything": seed,
                "trainer": {"max_epochs": 10 + setting // 18},
                "model": {
                    "class_path": f"blockyard.tasks.{task}",
                    "init_args": {
                        "backbone": {"class_path": "blockyard.backbones.PreResNet", "init_args": {"depth": depth}},
                        "plugs": None,
                        "block": None,
                        "at": None,
                        **plug,
                    },
                },
                "data": {"class_path": f"blockyard.datamodules.{data}", "init_args": {"batch_size": 64}},
            }


def make(folder: Path, count: int, tasks: int, seeds: int) -> int:
    """Write records; the number of experiments."""
    draw, items = random.Random(0), np.random.default_rng(0)
    experiments, runs = set(), set()
    for config in configurations(tasks, seeds):
        facts = described(config)
        if facts["run"] in runs:  # a baseline is the same at every place
            continue
        experiments.add(facts["experiment"])
        runs.add(facts["run"])
        scores = (items.random(SAMPLES) < 0.7 + 0.02 * len(facts["plugs"])).astype(np.uint8)
        name, digest = write_scores({"top1": scores}, folder, facts["run"])
        depth = config["model"]["init_args"]["backbone"]["init_args"]["depth"]
        record = Record(
            **facts,
            metrics={"top1": round(float(scores.mean()), 7), "loss": draw.uniform(0.5, 2)},
            primary="top1",
            higher_is_better=True,
            test_samples=SAMPLES,
            scores=name,
            scores_sha256=digest,
            parameters=10_000 * depth,
            macs=int(1e6 * depth * draw.uniform(1, 1.2)),
            throughput=draw.uniform(500, 5000),
            throughput_batch=16,
            hardware="synthetic",
            epochs=10.0,
            steps=1000,
            config=config,
            versions={},
            finished="2025-01-01T00:00:00+00:00",
        )
        write(record, folder)
        if len(runs) == count:
            break
    return len(experiments)


def in_browser(page: Path) -> dict[str, float]:
    """Milliseconds until the page answers, and of a sort and a filter of its first table, the new layout included."""
    sys.path.insert(0, str(ROOT / "tests" / "leaderboard"))
    import browser

    if browser.CHROMIUM is None:
        return {}
    clock = "(() => {{ const t = performance.now(); {}; document.body.offsetHeight; return performance.now() - t; }})()"
    with tempfile.TemporaryDirectory() as profile, browser.chromium(profile) as tab:
        tab.open(page, 1280)
        loaded = tab("performance.getEntriesByType('navigation')[0].loadEventEnd")
        sort = tab(clock.format("document.querySelectorAll('.board thead button')[3].click()"))
        search = "const s = document.querySelector('[type=search]'); s.value = 'spectral stage2'"
        search += "; s.dispatchEvent(new Event('input', {bubbles: true}))"
        return {"load_ms": loaded, "sort_ms": sort, "filter_ms": tab(clock.format(search))}


def measure(case: str, count: int, tasks: int, seeds: int) -> dict[str, Any]:
    """One row of the results."""
    with tempfile.TemporaryDirectory() as name:
        folder, page = Path(name) / "records", Path(name) / "page.html"
        experiments = make(folder, count, tasks, seeds)
        command = [sys.executable, "-m", "blockyard", "leaderboard", "--records", str(folder), "--html", str(page)]
        started = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        elapsed = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        row = {
            "case": case,
            "records": count,
            "experiments": experiments,
            "tables": tasks,
            "seconds": round(elapsed, 2),
            "cpu_seconds": round(seconds, 2),
        }
        row |= {"page_MB": round(page.stat().st_size / 1e6, 2)}
        return row | {key: round(value) for key, value in in_browser(page).items()}


def main() -> None:
    """Measure, print, and write a CSV file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    rows = [measure("study", options.records, 5, 5), measure("flat", options.records, 1, 1)]
    hardware = f"{platform.machine()}, {os.cpu_count()} cores"
    for row in rows:
        print(row, hardware)
    csv_files.write(options.csv, [{**row, "hardware": hardware} for row in rows])


if __name__ == "__main__":
    main()
