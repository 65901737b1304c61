"""From records to one table a task and data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from blockyard.leaderboard.identity import canonical
from blockyard.leaderboard.labels import differences
from blockyard.leaderboard.record import Record
from blockyard.leaderboard.statistics import Estimate, estimate, paired_difference


@dataclass(frozen=True)
class Row:
    """One experiment, over its seeds.

    Attributes:
        block: What is plugged in where, with the settings that tell it from a row of the same name.
        backbone: Backbone and its options.
        experiment: Hash of the experiment.
        baseline: Hash of its baseline.
        score: The primary metric.
        difference: Primary metric − baseline's, paired by seed; None where there is no pair, or for a baseline.
        others: The other metrics.
        parameters: Parameters of the network.
        macs: Multiply–accumulates for one sample.
        throughput: Samples a second on the table's hardware; None if never measured there.
        peak_memory: Bytes in training on the table's machine; None if never measured there.
    """

    block: str
    backbone: str
    experiment: str
    baseline: str
    score: Estimate
    difference: Estimate | None
    others: dict[str, Estimate]
    parameters: int
    macs: int
    throughput: float | None
    peak_memory: float | None

    @property
    def is_baseline(self) -> bool:
        """Whether nothing is plugged in."""
        return self.experiment == self.baseline


@dataclass(frozen=True)
class Table:
    """The rows of one task and data set.

    Attributes:
        task: Class of the task.
        data: Class of the data module.
        primary: The metric that rows are ranked by.
        higher_is_better: Whether more of it is better.
        rows: By backbone and baseline; a baseline first, then the best first.
        notes: What a reader has to know to read the numbers right, a line each.
    """

    task: str
    data: str
    primary: str
    higher_is_better: bool
    rows: list[Row]
    notes: list[str]


def tables(records: Iterable[Record]) -> list[Table]:
    """One table for every task and data set, in alphabetical order; a pure function of the records."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        key = (record.task, record.data, record.primary, record.higher_is_better)
        groups.setdefault(key, []).append(record)
    return [_table(groups[key]) for key in sorted(groups)]


def first_and_repeats(records: Iterable[Record]) -> tuple[list[Record], list[tuple[Record, Record]]]:
    """The record that counts for each run, and each repeat together with it.

    The first record counts, whatever a repeat scored: a run can't be improved by testing it again.
    """
    firsts: dict[str, Record] = {}
    repeats = []
    for record in sorted(records, key=lambda record: (record.repeat, record.finished)):
        first = firsts.setdefault(record.run, record)
        if first is not record:
            repeats.append((first, record))
    return list(firsts.values()), repeats


def _table(records: Sequence[Record]) -> Table:
    firsts, repeats = first_and_repeats(records)
    experiments: dict[str, list[Record]] = {}
    for record in sorted(firsts, key=lambda record: record.seed):
        experiments.setdefault(record.experiment, []).append(record)
    inference, training = _most_common(firsts, _inference_setting), _most_common(firsts, _training_setting)
    names = _names(experiments)
    rows = [
        _row(names[key], runs, experiments.get(runs[0].baseline, []), inference, training)
        for key, runs in experiments.items()
    ]
    first = firsts[0]
    sign = -1 if first.higher_is_better else 1
    rows.sort(key=lambda row: (row.backbone, row.baseline, not row.is_baseline, sign * row.score.mean, row.block))
    notes = _notes(firsts, experiments, inference, training)
    notes += [_repeat_note(*pair) for pair in repeats]
    return Table(first.task, first.data, first.primary, first.higher_is_better, rows, notes)


def _row(name: str, runs: Sequence[Record], baseline: Sequence[Record], inference: Any, training: Any) -> Row:
    first = runs[0]
    others = sorted({metric for run in runs for metric in run.metrics} - {first.primary})
    pairable = baseline if first.experiment != first.baseline else []
    return Row(
        block=name,
        backbone=first.backbone,
        experiment=first.experiment,
        baseline=first.baseline,
        score=estimate([run.metrics[first.primary] for run in runs]),
        difference=paired_difference(
            {run.seed: run.metrics[first.primary] for run in runs},
            {run.seed: run.metrics[first.primary] for run in pairable},
        ),
        others={m: estimate([run.metrics[m] for run in runs if m in run.metrics]) for m in others},
        parameters=first.parameters,
        macs=first.macs,
        throughput=_mean(run.throughput for run in runs if _inference_setting(run) == inference),
        peak_memory=_mean(run.peak_memory for run in runs if _training_setting(run) == training),
    )


def _names(experiments: dict[str, list[Record]]) -> dict[str, str]:
    """Block labels, with the settings that differ where experiments would have the same name."""
    alike: dict[tuple[str, str], list[str]] = {}
    for key, runs in experiments.items():
        alike.setdefault((runs[0].block, runs[0].backbone), []).append(key)
    names: dict[str, str] = {}
    for (block, _), keys in alike.items():
        settings = differences([canonical(experiments[key][0].config) for key in keys])
        names |= {key: f"{block} [{text}]" if text else block for key, text in zip(keys, settings, strict=True)}
    return names


def _inference_setting(record: Record) -> tuple[str, int]:
    return record.hardware, record.throughput_batch


def _training_setting(record: Record) -> tuple[str, str, int] | None:
    """Peak memory depends on the machine and on how many processes share the batch."""
    if record.peak_memory is None:
        return None
    return str(record.memory_kind), str(record.training_hardware), record.world_size or 1


def _most_common(records: Sequence[Record], setting: Callable[[Record], Any]) -> Any:
    found = Counter(value for record in records if (value := setting(record)) is not None)
    return min(found, key=lambda value: (-found[value], value)) if found else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _notes(records: Sequence[Record], experiments: dict[str, list[Record]], inference: Any, training: Any) -> list[str]:
    hardware, batch = inference
    notes = [
        _training_note(records),
        "±: half the 95 % confidence interval of the mean over seeds (Student t); it covers the seeds, not the "
        "choice of test samples. Difference: to the same experiment with no block, paired by seed, with the number "
        "of pairs; – where there is none. *: fewer than 3 seeds, no conclusion.",
        "MACs: multiply–accumulates of convolution, linear and matrix products, fused attention included, batch 1.",
        f"Throughput: inference, batch {batch}, on {hardware}" + _left_out(records, _inference_setting, inference),
    ]
    if training:
        kind, machine, processes = training
        what = {"cuda": "allocated tensors", "process RSS": "the whole process with its libraries"}[kind]
        where = f"{machine}, {processes} process{'es' if processes > 1 else ''}"
        notes.append(
            f"Peak memory: {kind} in training ({what}), on {where}" + _left_out(records, _training_setting, training)
        )
    commits = sorted({record.commit or "unknown" for record in records})
    if len(commits) > 1:
        notes.append(f"Attention: the records come from {len(commits)} versions of the code: {', '.join(commits)}.")
    for runs in experiments.values():
        if len({(run.parameters, run.macs) for run in runs}) > 1:
            notes.append(
                f"Attention: parameters or MACs differ between seeds of {runs[0].block} ({runs[0].experiment})."
            )
    return notes


def _training_note(records: Sequence[Record]) -> str:
    epochs = _span([record.epochs for record in records])
    steps = _span([record.steps for record in records])
    samples = _span([record.test_samples for record in records])
    return (
        f"Runs: {epochs} epoch{'' if epochs == '1' else 's'} ({steps} steps) of training, tested on {samples} samples."
    )


def _span(values: Iterable[float | None]) -> str:
    known = sorted({value for value in values if value is not None})
    ends = dict.fromkeys(f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in known[:1] + known[-1:])
    return "–".join(ends) or "an unknown number of"


def _left_out(records: Sequence[Record], setting: Callable[[Record], Any], chosen: Any) -> str:
    others = sum(setting(record) not in (chosen, None) for record in records)
    return f"; {others} record{'s' if others > 1 else ''} measured elsewhere left out." if others else "."


def _repeat_note(first: Record, repeat: Record) -> str:
    change = repeat.metrics[first.primary] - first.metrics[first.primary]
    same = "" if repeat.hardware == first.hardware else f", on {repeat.hardware} instead of {first.hardware}"
    return (
        f"Repeat, not averaged in: {first.block}, seed {first.seed} ({first.run}): "
        f"{first.primary} {repeat.metrics[first.primary]:.4f} after {first.metrics[first.primary]:.4f} "
        f"({change:+.4f}){same}."
    )
