"""Which records count, and which of them may stand in one row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blockyard.leaderboard.record import Record


@dataclass(frozen=True)
class Kind:
    """What records of one row have in common; a row is compared with the row of its baseline's kind.

    Attributes:
        experiment: Hash of the experiment, which the fingerprints of its data are part of.
        checkpoint: Which weights were tested; None in records that do not say.
        steps: Optimiser steps where the training had not ended; None where it had.
        test_samples: Samples in the test split.
    """

    experiment: str
    checkpoint: str | None
    steps: int | None
    test_samples: int

    @classmethod
    def of(cls, record: Record, experiment: str | None = None) -> Kind:
        """That of a record, or of its baseline's."""
        steps = None if is_complete(record) else record.steps or 0
        return cls(experiment or record.experiment, record.checkpoint, steps, record.test_samples)


@dataclass(frozen=True)
class Counted:
    """Records sorted by what they are good for.

    Attributes:
        rows: Those that count, by kind, in the order of their seeds.
        repeats: The record that counts, and another of the same run and kind.
        superseded: The record of a whole training, and one of the same run when it had not ended.
    """

    rows: dict[Kind, list[Record]]
    repeats: list[tuple[Record, Record]]
    superseded: list[tuple[Record, Record]]


def is_complete(record: Record) -> bool:
    """Whether a training had ended; of records from before that was written down it is taken for granted."""
    return record.schema == 1 or bool(record.complete)


def count(records: Iterable[Record]) -> Counted:
    """Sort records: the first of a run and kind counts, whatever a repeat scored, and a whole training before a part.

    A run can't be improved by testing it again.
    """
    firsts: dict[tuple[str, str | None, int], Record] = {}
    rows: dict[Kind, list[Record]] = {}
    repeats: list[tuple[Record, Record]] = []
    superseded: list[tuple[Record, Record]] = []
    # whole trainings first, of unfinished ones the longest
    for record in sorted(records, key=lambda one: (not is_complete(one), -_steps(one), one.repeat, one.finished)):
        first = firsts.setdefault((record.run, record.checkpoint, record.test_samples), record)
        if first is record:
            rows.setdefault(Kind.of(record), []).append(record)
        else:
            same = Kind.of(first) == Kind.of(record)
            (repeats if same else superseded).append((first, record))
    for kind, row in rows.items():
        rows[kind] = sorted(row, key=lambda record: record.seed)
    return Counted(rows, repeats, superseded)


def baseline_of(row: Sequence[Record], rows: dict[Kind, list[Record]]) -> Sequence[Record]:
    """The runs that those of a row are compared with: none for a baseline, nor for trainings that had not ended."""
    first = row[0]
    if first.baseline == first.experiment or not is_complete(first):
        return []
    return rows.get(Kind.of(first, first.baseline), [])


def mark(kind: Kind, row: Sequence[Record], both: bool) -> str:
    """What a row is marked with: how far an unfinished training was, and which weights these are if others are there.

    Args:
        kind: Of the row.
        row: Its records.
        both: Whether the table has rows of several kinds of checkpoint.
    """
    marks = [kind.checkpoint] if both and kind.checkpoint else []
    if kind.steps is not None:
        planned = row[0].planned_steps
        said = f"step {kind.steps:,} of {planned:,}" if planned else f"step {kind.steps:,}"
        marks.append(f"{'unfinished' if row[0].complete is False else 'not known to be finished'}, {said}")
    return f" [{'; '.join(marks)}]" if marks else ""


def _steps(record: Record) -> int:
    return 0 if is_complete(record) else record.steps or 0
