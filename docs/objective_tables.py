"""The tables of docs/objectives.md: objectives side by side, and what pretexts leave, from committed records."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blockyard.leaderboard.record import Record, read_all
from blockyard.leaderboard.statistics import Estimate, estimate, paired_difference

ROOT = Path(__file__).parents[1]
COSTS = ROOT / "benchmarks" / "results" / "objectives.csv"
STUDIES = ("digits", "spoken")
OPTIONS = ("parts",)
"""Options of an objective that its name says."""

Scores = dict[int, float]
"""Primary metric by seed."""


def side_by_side() -> str:
    """A row for each objective of each study: score, difference to the task's own loss, and what a step costs."""
    costs = _costs()
    lines = ["| data | objective | top1, % | beside labels | a step, × | kept, × | parameters |"]
    lines.append("| --- | --- | --: | --: | --: | --: | --: |")
    for study in STUDIES:
        rows: dict[str, list[Record]] = {}
        for record in _records(f"{study}-objectives"):
            rows.setdefault(named(record.config), []).append(record)
        own = _by_seed(rows["labels"])
        for name in sorted(rows, key=lambda name: (name != "labels", name)):
            scores, spent = _by_seed(rows[name]), _spent(costs.get((study, name)))
            apart = "" if name == "labels" else percent(paired_difference(scores, own), signed=True)
            cells = f"{percent(estimate([*scores.values()]))} | {apart} | {spent} | {rows[name][0].parameters:,}"
            lines.append(f"| {study} | {name} | {cells} |")
    return "\n".join(lines)


def named(config: dict[str, Any]) -> str:
    """What tells rows of objectives apart: the objective, and what of its options and of the network's is said."""
    arguments = config["model"]["init_args"]
    objective = arguments.get("objective") or {"class_path": "labels"}
    options = objective.get("init_args", {})
    said = [f"{name} {options[name]}" for name in OPTIONS if name in options]
    form = arguments["backbone"].get("init_args", {}).get("form", "discrete")
    said += [form] * (form != "discrete")
    prefix = arguments.get("prefix")
    said += [f"width {prefix[0]:g}"] if prefix else []
    return " ".join([objective["class_path"].rpartition(".")[2], *said])


def labels_left() -> str:
    """A row for each number of labels and what came before: a probe of what the training began with, and its end."""
    costs = _costs()
    heads = "linear probe, % | beside scratch | trained, % | beside scratch"
    lines = [f"| data | labels a class | begins with | {heads} | a step of it, × | kept, × |"]
    lines.append("| --- | --: | --- | --: | --: | --: | --: | --: | --: |")
    for study in STUDIES:
        rows: dict[tuple[Any, ...], list[Record]] = {}
        for record in _records(f"{study}-pretraining"):
            if record.primary == "top1":
                labels = record.config["data"]["init_args"].get("labels_per_class")
                parent = record.config.get("parent", {}).get("by", "")
                rows.setdefault((labels or 10**9, parent, "probe" in record.config), []).append(record)
        for labels, parent, probed in sorted(rows):
            if not probed:
                cells = []
                for way in (True, False):
                    scores, scratch = (_by_seed(rows[labels, by, way]) for by in (parent, ""))
                    apart = percent(paired_difference(scores, scratch), signed=True) if parent else ""
                    cells += [percent(estimate([*scores.values()])), apart]
                count = "all" if labels == 10**9 else f"{labels}"
                spent = _spent(costs.get((study, parent)))
                lines.append(f"| {study} | {count} | {parent or 'scratch'} | {' | '.join(cells)} | {spent} |")
    return "\n".join(lines)


def _costs() -> dict[tuple[str, str], dict[str, str]]:
    """What a step costs, by study and objective."""
    with COSTS.open(newline="") as file:
        return {(row["study"], row["objective"]): row for row in csv.DictReader(file)}


def _spent(cost: dict[str, str] | None) -> str:
    return f"{cost['times']} | {cost['kept']}" if cost else " | "


def _records(folder: str) -> list[Record]:
    records, damaged = read_all([ROOT / "leaderboard" / folder])
    if damaged:
        raise ValueError(damaged[0])
    return records


def _by_seed(records: Iterable[Record]) -> Scores:
    return {record.seed: record.metrics[record.primary] for record in records}


def percent(found: Estimate | None, signed: bool = False) -> str:
    """A mean and half its interval, in percent."""
    if found is None:
        return ""
    spread = "" if found.half_width is None else f" ± {100 * found.half_width:.1f}"
    return f"{100 * found.mean:{'+' if signed else ''}.1f}{spread}"
