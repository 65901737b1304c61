"""All that a run leaves behind, and where two runs differ in it; stops.py compares by it."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

MEASURED = {"throughput", "training_seconds", "peak_memory", "finished", "checkpoint_sha256", "commit", "loops"}
"""Parts of records and checkpoints that need not be equal: what the clock says, what holds it, the source, which may be
edited meanwhile, and how Lightning counted on its way."""


def leavings(folder: Path) -> dict[str, Any]:
    """The checkpoints, the logged values and the records of a folder."""
    checkpoints = {path.name: torch.load(path, weights_only=True) for path in folder.glob("runs/*/checkpoints/*")}
    records = [json.loads(path.read_bytes()) for path in sorted(folder.glob("runs/records/*.json"))]
    return {**checkpoints, "log": logged(folder), "records": records}


def logged(folder: Path) -> dict[str, list[Any]]:
    """Every value by its name and step, in the CSV files and for TensorBoard: of repeated ones that are equal, one."""
    values = defaultdict(set)
    for path in folder.glob("runs/*/metrics/version_*/metrics.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            for name in row.keys() - {"step"}:
                if row[name]:
                    values[f"{name} at {row['step']}"].add(row[name])
    for path in folder.glob("runs/*/events.*"):
        events = EventAccumulator(str(path), {"scalars": 0}).Reload()
        for name in events.Tags()["scalars"]:
            for event in events.Scalars(name):
                values[f"{name} at {event.step}, events"].add(event.value)
    return {key: sorted(of_step) for key, of_step in values.items()}


def unequal(one: Any, other: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where two nests differ, and how."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and one.shape == other.shape:
        if not torch.equal(one, other):
            yield path, f"off by {(one.double() - other.double()).abs().max():.2g}"
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in (one.keys() | other.keys()) - MEASURED:
            yield from unequal(one.get(key, "missing"), other.get(key, "missing"), *path, str(key))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from unequal(a, b, *path, str(number))
    elif repr(one) != repr(other):
        yield path, f"{str(other)[:60]}, not {str(one)[:60]}"


def differences(whole: dict[str, Any], stopped: dict[str, Any]) -> list[str]:
    """What a stopped run leaves otherwise than the undisturbed one; of many tensors or rows one, and their number."""
    found = defaultdict(list)
    for path, what in unequal(whole, stopped):
        group = path[:3] if path[1:2] == ("callbacks",) else path[:2] if path[0].endswith(".ckpt") else path[:1]
        found[group].append(f"{' '.join(key.partition('{')[0] for key in path)}: {what}")
    return sorted(sorted(of)[0] + (f" (and {len(of) - 1} more)" if of[1:] else "") for of in found.values())
