"""What a reader has to know to read a table's numbers right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from blockyard.leaderboard.record import Record
from blockyard.leaderboard.statistics import ENOUGH_PAIRS
from blockyard.metrics import digits

Setting = Callable[[Record], Any]


def inference_setting(record: Record) -> tuple[str, int]:
    """Where throughput was measured: it is compared within one only."""
    return record.hardware, record.throughput_batch


def training_setting(record: Record) -> tuple[str, str, int] | None:
    """Where peak memory was: it depends on the machine and on how many processes share the batch."""
    if record.peak_memory is None:
        return None
    return str(record.memory_kind), str(record.training_hardware), record.world_size or 1


def measurement_notes(records: Sequence[Record], inference: Any, training: Any) -> list[str]:
    """How long the runs are, and what scores and costs mean; a line each."""
    hardware, batch = inference
    notes = [
        _length(records),
        "±: half the 95 % confidence interval of the mean over seeds (Student t); it covers the seeds, not the "
        "choice of test samples; none where all seeds agree. Difference: to the same experiment with no block, paired "
        "by seed, with the number of pairs; – where there is none. *: fewer than 3 seeds, no conclusion.",
        "MACs: multiply–accumulates of convolution, linear, recurrent and matrix products, fused attention included, "
        "batch 1.",
        f"Throughput: inference, batch {batch}, on {hardware}" + _left_out(records, inference_setting, inference),
    ]
    if training:
        kind, machine, processes = training
        what = {"cuda": "allocated tensors", "process RSS": "the whole process with its libraries"}[kind]
        where = f"{machine}, {processes} process{'es' if processes > 1 else ''}"
        notes.append(
            f"Peak memory: {kind} in training ({what}), on {where}" + _left_out(records, training_setting, training)
        )
    return notes


def comparison_notes(compared: int, tested: int, missing: Mapping[str, str]) -> list[str]:
    """What stands in the columns of test items and of significance, a line each where there are some.

    Args:
        compared: Rows with an interval over test items.
        tested: Rows with a p value.
        missing: Row to why it has no interval over test items.
    """
    notes = []
    if compared:
        notes.append(
            "Over test items: 95 % interval of the difference, the test items resampled (paired bootstrap, "
            "percentiles); it covers the choice of test items, not the seeds."
        )
    if missing:
        (name, reason), *others = missing.items()
        more = f" and {len(others)} more" if others else ""
        notes.append(f"No interval over test items for {name}{more}: {reason}.")
    if tested:
        notes.append(
            f"p: two-sided t test paired by seed, from {ENOUGH_PAIRS} pairs on, corrected for the {tested} "
            f"comparison{'s' if tested > 1 else ''} of this table (Holm)."
        )
    return notes


def warnings(records: Sequence[Record], experiments: Iterable[Sequence[Record]]) -> list[str]:
    """What may make runs incomparable, a line each."""
    commits = sorted({record.commit or "unknown" for record in records})
    notes = []
    if len(commits) > 1:
        notes.append(f"Attention: the records come from {len(commits)} versions of the code: {', '.join(commits)}.")
    notes += _process_notes(records)
    for runs in experiments:
        if len({(run.parameters, run.macs) for run in runs}) > 1:
            notes.append(
                f"Attention: parameters or MACs differ between seeds of {runs[0].block} ({runs[0].experiment})."
            )
    return notes


def superseded_note(whole: Record, part: Record) -> str:
    """What becomes of a record of a training that had not ended when another of the same run had, or had gone on."""
    return (
        f"Superseded, not averaged in: {part.block}, seed {part.seed} ({part.run}): {part.primary} "
        f"{digits(part.metrics[part.primary])} at step {part.steps or 0:,}; step {whole.steps or 0:,} counts."
    )


def repeat_note(first: Record, repeat: Record) -> str:
    """What a second record of a run says."""
    change = repeat.metrics[first.primary] - first.metrics[first.primary]
    same = "" if repeat.hardware == first.hardware else f", on {repeat.hardware} instead of {first.hardware}"
    return (
        f"Repeat, not averaged in: {first.block}, seed {first.seed} ({first.run}): "
        f"{first.primary} {digits(repeat.metrics[first.primary])} after {digits(first.metrics[first.primary])} "
        f"({'' if change < 0 else '+'}{digits(change)}){same}."
    )


def _process_notes(records: Sequence[Record]) -> list[str]:
    """Where the number of processes is part of what was trained."""
    worlds = sorted({record.world_size or 1 for record in records if _has_own_statistics(record)})
    if len(worlds) < 2:
        return []
    rows = sorted(
        {f"{record.block} ({record.world_size})" for record in records if (record.world_size or 1) > worlds[0]}
    )
    return [
        f"Attention: trained on {' and '.join(map(str, worlds))} processes without sync_batchnorm, so that batch "
        f"normalisation saw batches of another size: {', '.join(rows[:5])}{' and more' if len(rows) > 5 else ''}."
    ]


def _has_own_statistics(record: Record) -> bool:
    return record.batch_norm is not False and not (record.config.get("trainer") or {}).get("sync_batchnorm")


def _length(records: Sequence[Record]) -> str:
    epochs = _span([record.epochs for record in records])
    steps = _span([record.steps for record in records])
    samples = _span([record.test_samples for record in records])
    return (
        f"Runs: {epochs} epoch{_s(epochs)} ({steps} step{_s(steps)}) of training, "
        f"tested on {samples} sample{_s(samples)}."
    )


def _s(number: str) -> str:
    return "" if number == "1" else "s"


def _span(values: Iterable[float | None]) -> str:
    known = sorted({value for value in values if value is not None})
    ends = dict.fromkeys(f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in known[:1] + known[-1:])
    return "–".join(ends) or "an unknown number of"


def _left_out(records: Sequence[Record], setting: Setting, chosen: Any) -> str:
    others = sum(setting(record) not in (chosen, None) for record in records)
    return f"; {others} record{'s' if others > 1 else ''} measured elsewhere left out." if others else "."
