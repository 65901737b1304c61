"""The table of docs/picture-files.md: what its ways of decoding cost, from the committed benchmark."""

from __future__ import annotations

import csv
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "loader_images.csv"
LOADERS = ("torchvision, Pillow", "blockyard", "blockyard, reduced")


def reduced() -> str:
    """What each way of decoding costs, and how far the reduced one is from the exact, a row each size and use."""
    lines = ["| pictures | used in | torchvision, Pillow | exact | reduced | exact, times | reduced, times | levels |"]
    lines.append("| --- | --- | --: | --: | --: | --: | --: | --: |")
    for (pictures, use, workers), loaders in _cases().items():
        if workers == "0":
            ways = [loaders[name] for name in LOADERS]
            spent = " | ".join(f"{float(way['CPU ms a picture']):.2f} ({way['spread']})" for way in ways)
            ratios = " | ".join(way["CPU times torchvision"] for way in ways[1:])
            title = f"{pictures}, {ways[0]['MB a file']} MB | {use}"
            lines.append(f"| {title} | {spent} | {ratios} | {ways[-1]['levels from exact']} |")
    said = "Milliseconds of one core a picture: medians, and the spread, of interleaved epochs"
    also = "times: how many times as fast as torchvision's way on Pillow pictures"
    return "\n".join([*lines, "", f"{said}; {also}; levels: mean difference from exact decoding, of 255."])


def _cases() -> dict[tuple[str, str, str], dict[str, dict[str, str]]]:
    """By size of pictures, use and number of workers: the row of each loader."""
    cases: dict[tuple[str, str, str], dict[str, dict[str, str]]] = {}
    with RESULTS.open(newline="") as file:
        for row in csv.DictReader(file):
            cases.setdefault((row["pictures"], row["use"], row["workers"]), {})[row["loader"]] = row
    return cases
