"""Series listed in a CSV file, split by person."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from blockyard.datamodules.signals.base import SignalDataModule
from blockyard.datamodules.signals.recorded import Recordings
from blockyard.datamodules.signals.subjects import SPLITS, Rows, draw_subjects, leave_one_out, rows_of
from blockyard.datamodules.tables import Row, check_agreement, columns_of, read_rows, sorted_labels
from blockyard.mistakes import DataError, nearest

COLUMNS = ("file", "label", "subject", "split", "rate")


class SignalCSV(SignalDataModule):
    """Recordings listed in a CSV file with the header ``file,label[,subject][,split][,rate]``.

    A ``file`` is relative to ``root``; a ``rate`` in Hz goes before what the file says. Classes are the sorted labels
    of all rows: as text, or if all are numbers as numbers. *Nobody is in two splits*: recordings of one ``subject``
    stay together. Where there is no subject, every recording is one of its own.

    ``split`` is train, val or test, and rows without are for training. Where no row is for the test, subjects are drawn
    out of those for training, and so, after them, where none is for validation. With ``fold`` the K-th subject is the
    test, in the order of names, or if all are numbers of numbers, and the one after it (after the last one the first)
    validation: over all folds every subject is tested on once. ``predict`` without ``predict_folder`` is the test split
    without its labels.

    Args:
        root: Folder of the recordings.
        manifest: The CSV file, relative to ``root`` unless absolute.
        fold: Number of the subject to test on, from 1; None leaves it to ``split``, or to the draw.
        val_fraction: Share of the subjects drawn for validation; 0 draws none.
        test_fraction: Share of the subjects drawn for the test.
        split_seed: Seed of the draw; that of a run has no part in it, so that runs are comparable.
        options: Those of :class:`~blockyard.datamodules.signals.base.SignalDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    laid_out = "DIR/manifest.csv with file,label,subject"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """``manifest.csv``, if its header names what a recording needs."""
        return ["manifest.csv"] if {"file", "label"} <= columns_of(root / "manifest.csv") else []

    def __init__(
        self,
        root: str,
        manifest: str = "manifest.csv",
        fold: int | None = None,
        val_fraction: float = 0.15,
        test_fraction: float = 0.25,
        split_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 <= val_fraction < 1 or not 0 < test_fraction < 1 or split_seed < 0:
            raise ValueError(
                f"SignalCSV: val_fraction={val_fraction} must be in [0, 1), test_fraction={test_fraction} in (0, 1) "
                f"and split_seed={split_seed} not negative"
            )
        self.root = Path(root)
        self.manifest = self.root / manifest
        self.fold = fold
        self.fractions = {"test": test_fraction, "val": val_fraction}
        self.split_seed = split_seed

    @cached_property
    def classes(self) -> list[str]:
        """Sorted labels of all rows, numbers as numbers."""
        return sorted_labels((row["label"] for row in self._rows), self.manifest)

    def recordings(self, split: str) -> Recordings:
        """The rows of a split, in the order of the file."""
        rows = [self._rows[row] for row in self._split_rows["test" if split == "predict" else split]]
        place = {label: number for number, label in enumerate(self.classes)}
        return Recordings(
            [self.root / row["file"] for row in rows],
            [row["file"] for row in rows],
            np.array([place[row["label"]] for row in rows], dtype=np.int64),
            [float(row["rate"]) if row.get("rate") else None for row in rows],
        )

    @cached_property
    def _rows(self) -> list[Row]:
        if not self.manifest.is_file():
            raise DataError(f"{self.manifest} is missing: a CSV file with the header {','.join(COLUMNS)}")
        rows = read_rows(self.manifest)
        columns = [str(column) for column in rows[0]] if rows else []
        if not {"file", "label"} <= set(columns):
            raise DataError(f"{self.manifest}: the header must name file and label, and rows follow")
        for column in columns:
            if column not in COLUMNS:
                raise DataError(f"{self.manifest}: no column {column} is known; {nearest(column, COLUMNS)}")
        for line, row in enumerate(rows, start=2):
            if None in row.values() or not row["file"] or not row["label"] or row.get("split", "") not in ("", *SPLITS):
                wanted = f"a file, a label, and a split of {', '.join(SPLITS)} or empty"
                raise DataError(f"{self.manifest}, line {line}: {wanted}")
            if row.get("rate") and not _positive(row["rate"]):
                raise DataError(f"{self.manifest}, line {line}: a rate of {row['rate']}; in Hz, or empty")
        check_agreement(self.manifest, [row["file"] for row in rows], [row["label"] for row in rows])
        if len({row["file"] for row in rows}) < len(rows):
            raise DataError(f"{self.manifest}: a file is listed twice")
        return rows

    @cached_property
    def _split_rows(self) -> Rows:
        """Rows of each split, in the order of the file."""
        subjects = [row.get("subject") or row["file"] for row in self._rows]
        told = [row.get("split") or "" for row in self._rows]
        if self.fold is not None:
            if any(told):
                raise DataError(f"{self.manifest} has splits of its own: leave fold={self.fold} away, or the column")
            rows = leave_one_out(subjects, sorted_labels(subjects, self.manifest), self.fold)
        else:
            rows = self._told_or_drawn(subjects, told)
        self._refuse_untrained(rows["train"])
        return rows

    def _told_or_drawn(self, subjects: list[str], told: list[str]) -> Rows:
        rows = rows_of([split or "train" for split in told])
        self._refuse_shared(subjects, rows)
        missing = {name: share for name, share in self.fractions.items() if not rows[name]}
        held = [subjects[row] for row in rows["train"]]
        drawn = draw_subjects(held, sorted_labels(held, self.manifest), missing, self.split_seed)
        return rows | {name: [rows["train"][row] for row in drawn[name]] for name in ("train", *missing)}

    def _refuse_shared(self, subjects: list[str], rows: Rows) -> None:
        first: dict[str, tuple[str, int]] = {}
        for name, members in rows.items():
            for row in members:
                split, before = first.setdefault(subjects[row], (name, row))
                if split != name:
                    lines = f"lines {before + 2} and {row + 2}"
                    raise DataError(f"{self.manifest}, {lines}: subject {subjects[row]} is in {split} and in {name}")

    def _refuse_untrained(self, rows: list[int]) -> None:
        if untrained := sorted(set(self.classes) - {self._rows[row]["label"] for row in rows}):
            raise DataError(f"{self.manifest}: class {untrained[0]} has no recording to train on: split in another way")


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
