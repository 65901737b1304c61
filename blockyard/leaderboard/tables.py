"""From records to one table a task and data set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blockyard.leaderboard.bootstrap import Interval, StoredScores, item_interval
from blockyard.leaderboard.counting import Kind, baseline_of, count, mark
from blockyard.leaderboard.data_sets import data_notes, data_title, tested_data
from blockyard.leaderboard.identity import canonical
from blockyard.leaderboard.labels import NO_BLOCK, class_name, differences
from blockyard.leaderboard.notes import (
    comparison_notes,
    inference_setting,
    measurement_notes,
    repeat_note,
    superseded_note,
    training_setting,
    warnings,
)
from blockyard.leaderboard.record import Record
from blockyard.leaderboard.statistics import Estimate, estimate, holm, paired_difference, paired_p_value
from blockyard.leaderboard.views import views_notes
from blockyard.metrics import Metric


@dataclass(frozen=True)
class Row:
    """One experiment, over its seeds.

    Attributes:
        block: What is plugged in where, with the settings that tell it from a row of the same name.
        family: The classes of its blocks alone; ``none`` for a baseline.
        backbone: Backbone and its options.
        experiment: Hash of the experiment.
        baseline: Hash of its baseline.
        score: The primary metric.
        difference: Primary metric − baseline's, paired by seed; None where there is no pair, or for a baseline.
        items: The interval of that difference over test items; None where scores are missing.
        p: Significance of that difference over seeds, corrected for the comparisons of the table; None below five
            pairs.
        others: The other metrics that every run has, and states alike.
        parameters: Parameters of the network.
        macs: Multiply–accumulates for one sample.
        throughput: Samples a second on the table's hardware; None if never measured there.
        peak_memory: Bytes in training on the table's machine; None if never measured there.
        bytes: What the numbers of a quantised network take; None of any other.
    """

    block: str
    family: str
    backbone: str
    experiment: str
    baseline: str
    score: Estimate
    difference: Estimate | None
    items: Interval | None
    p: float | None
    others: dict[Metric, Estimate]
    parameters: int
    macs: int
    throughput: float | None
    peak_memory: float | None
    bytes: int | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether nothing is plugged in."""
        return self.experiment == self.baseline


@dataclass(frozen=True)
class Table:
    """The rows of one task and data set.

    Attributes:
        task: Class of the task.
        data: What the data are called; where records tell, with their fingerprint.
        primary: The metric that rows are ranked by.
        rows: By backbone and baseline; a baseline first, then the best first.
        notes: What a reader has to know to read the numbers right, a line each.
    """

    task: str
    data: str
    primary: Metric
    rows: list[Row]
    notes: list[str]


def tables(records: Iterable[Record], folders: Sequence[Path] = ()) -> list[Table]:
    """One table for every task, test set and primary metric, in alphabetical order; a pure function of the records.

    Two records that state a unit, bounds or a direction of their own for a metric of the same name have two metrics.

    Args:
        records: Any records.
        folders: Where the scores of their test items are; without, no interval over test items is computed.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        primary = record.metric(record.primary)
        key = (record.task, record.data, primary.name, primary.higher_is_better, *tested_data(record), primary)
        groups.setdefault(key, []).append(record)
    stored = StoredScores(folders) if folders else None
    return [_table(groups[key], stored) for key in sorted(groups, key=lambda key: (*key[:-1], key[-1].order))]


def _table(records: Sequence[Record], stored: StoredScores | None) -> Table:
    counted = count(records)
    firsts = [record for row in counted.rows.values() for record in row]
    inference, training = _most_common(firsts, inference_setting), _most_common(firsts, training_setting)
    names = _names(counted.rows)
    rows, missing = [], {}
    for key, runs in counted.rows.items():
        baseline = baseline_of(runs, counted.rows)
        row = _row(names[key], runs, baseline, inference, training)
        try:
            rows.append(replace(row, items=item_interval(runs, baseline, stored) if stored else None))
        except ValueError as reason:
            rows.append(row)
            missing[names[key]] = str(reason)
    rows = _without_certain(_corrected(rows))
    first = firsts[0]
    primary = first.metric(first.primary)
    sign = -1 if primary.higher_is_better else 1
    rows.sort(key=lambda row: (row.backbone, row.baseline, not row.is_baseline, sign * row.score.mean, row.block))
    notes = [
        *measurement_notes(firsts, inference, training),
        *views_notes({names[key]: runs[0].config for key, runs in counted.rows.items()}),
    ]
    notes += comparison_notes(
        sum(row.items is not None for row in rows), sum(row.p is not None for row in rows), missing
    )
    notes += data_notes(firsts)
    notes += warnings(firsts, counted.rows.values())
    notes += [superseded_note(*pair) for pair in counted.superseded]
    notes += [repeat_note(*pair) for pair in counted.repeats]
    return Table(first.task, data_title(firsts), primary, rows, notes)


def _row(name: str, runs: Sequence[Record], baseline: Sequence[Record], inference: Any, training: Any) -> Row:
    first = runs[0]
    # a mean over some of the seeds stands beside means over all of them as if it could be compared
    others = set.intersection(*({run.metric(name) for name in run.metrics} for run in runs))
    others.discard(first.metric(first.primary))
    scores, reference = ({run.seed: run.metrics[first.primary] for run in side} for side in (runs, baseline))
    return Row(
        block=name,
        family=" + ".join(dict.fromkeys(class_name(plug["block"]) for plug in first.plugs)) or NO_BLOCK,
        backbone=first.backbone,
        experiment=first.experiment,
        baseline=first.baseline,
        score=estimate([run.metrics[first.primary] for run in runs]),
        difference=paired_difference(scores, reference),
        items=None,
        p=paired_p_value(scores, reference),
        others={metric: estimate([run.metrics[metric.name] for run in runs]) for metric in others},
        parameters=first.parameters,
        macs=first.macs,
        throughput=_mean(run.throughput for run in runs if inference_setting(run) == inference),
        peak_memory=_mean(run.peak_memory for run in runs if training_setting(run) == training),
        bytes=first.bytes,
    )


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows with their p values corrected for the number of rows that are tested."""
    adjusted = iter(holm([row.p for row in rows if row.p is not None]))
    return [row if row.p is None else replace(row, p=next(adjusted)) for row in rows]


def _without_certain(rows: Sequence[Row]) -> list[Row]:
    """The rows without what no run could get wrong: the five most probable of at most five classes."""
    known = {metric for row in rows for metric in row.others if re.fullmatch(r"top\d+", metric.name)}
    certain = {metric for metric in known if all(row.others[metric].mean == 1 for row in rows if metric in row.others)}
    return [replace(row, others={m: v for m, v in row.others.items() if m not in certain}) for row in rows]


def _names(rows: dict[Kind, list[Record]]) -> dict[Kind, str]:
    """Block labels, with what differs where rows would have the same name, and marked if a training had not ended."""
    alike: dict[tuple[str, str], list[Kind]] = {}
    for kind, runs in rows.items():
        alike.setdefault((runs[0].block, runs[0].backbone), []).append(kind)
    both = len({kind.checkpoint for kind in rows}) > 1
    names: dict[Kind, str] = {}
    for (block, _), kinds in alike.items():
        settings = differences([canonical(rows[kind][0].config) for kind in kinds]) if len(kinds) > 1 else [""]
        for kind, text in zip(kinds, settings, strict=True):
            names[kind] = (f"{block} [{text}]" if text else block) + mark(kind, rows[kind], both)
    return names


def _most_common(records: Sequence[Record], setting: Callable[[Record], Any]) -> Any:
    found = Counter(value for record in records if (value := setting(record)) is not None)
    return min(found, key=lambda value: (-found[value], value)) if found else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
