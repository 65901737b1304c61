"""Sounds listed in a CSV file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from blockyard.datamodules.audio.base import AudioDataModule
from blockyard.datamodules.audio.listing import Recordings, Span, hold_out_speakers
from blockyard.datamodules.tables import Row, check_agreement, columns_of, read_rows, sorted_labels
from blockyard.mistakes import DataError, nearest

COLUMNS = {"path", "label", "split", "speaker", "start", "end"}
MANIFEST = "manifest.csv"
SPLITS = ("train", "val", "test")


class AudioCSV(AudioDataModule):
    """Sounds listed in a CSV file with the header ``path,label[,split][,speaker][,start,end]``.

    A ``path`` is relative to the file, ``start`` and ``end`` are in seconds, an empty ``end`` is the end of the sound.
    Several labels of a sound are separated by ``;``: where any row has several the task is multi-label, and a row may
    then also have none. Classes are the sorted labels of all rows: as text, or if all are numbers as numbers.

    ``split`` is train, val or test. Where no row is for test, ``test_fraction`` of those for training are held out, and
    then, where none is for validation, ``val_fraction`` of the rest: whole speakers, or where there is no ``speaker``
    whole files (see :func:`~blockyard.datamodules.audio.listing.hold_out_speakers`). Rows without a ``split`` are for
    training. ``predict`` without ``predict_path`` is the test split without its labels.

    Args:
        manifest: The CSV file.
        val_fraction: Share held out for validation where no row is for it; 0 holds none out.
        test_fraction: Share held out for the test where no row is for it.
        options: Those of :class:`~blockyard.datamodules.audio.base.AudioDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    laid_out = "DIR/manifest.csv with path,label"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """``manifest.csv``, if its header names what a sound needs."""
        return [MANIFEST] if {"path", "label"} <= columns_of(root / MANIFEST) else []

    @classmethod
    def opening(cls, root: Path) -> dict[str, Any]:
        """The table."""
        return {"manifest": str(root / MANIFEST)}

    def __init__(self, manifest: str, val_fraction: float = 0.1, test_fraction: float = 0.1, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= val_fraction < 1 or not 0 < test_fraction < 1:
            raise ValueError(
                f"AudioCSV: val_fraction={val_fraction} must be in [0, 1) and test_fraction={test_fraction} in (0, 1)"
            )
        self.manifest = Path(manifest)
        self.fractions = {"test": test_fraction, "val": val_fraction}

    @cached_property
    def _rows(self) -> list[Row]:
        if not self.manifest.is_file():
            raise DataError(
                f"{self.manifest} is missing: a CSV file with the header path,label,split,speaker,start,end"
            )
        rows = read_rows(self.manifest)
        columns = [str(column) for column in rows[0]] if rows else []
        if not {"path", "label"} <= set(columns):
            raise DataError(f"{self.manifest}: the header must name path and label, and rows follow")
        for column in columns:
            if column not in COLUMNS:
                raise DataError(f"{self.manifest}: no column {column} is known; {nearest(column, COLUMNS)}")
        for line, row in enumerate(rows, start=2):
            if None in row.values() or row.get("split", "") not in ("", *SPLITS) or not row["path"]:
                raise DataError(f"{self.manifest}, line {line}: a path, and a split of {', '.join(SPLITS)} or empty")
        return rows

    @cached_property
    def _labels(self) -> list[list[str]]:
        labels = [[label.strip() for label in row["label"].split(";") if label.strip()] for row in self._rows]
        several = max(map(len, labels)) > 1
        for line, of_row in enumerate(labels, start=2):
            if not of_row and not several:
                raise DataError(f"{self.manifest}, line {line}: no label")
        told = labels if several else [of_row[0] for of_row in labels]
        check_agreement(self.manifest, [self._name(row) for row in range(len(labels))], told)
        return labels

    @cached_property
    def classes(self) -> list[str]:
        """Sorted labels of all rows, numbers as numbers."""
        return sorted_labels((label for of_row in self._labels for label in of_row), self.manifest)

    @property
    def multi_label(self) -> bool:
        """Whether any row has several labels."""
        return max(map(len, self._labels)) > 1

    @cached_property
    def _split_rows(self) -> dict[str, list[int]]:
        """Rows of each split, in the order of the file."""
        rows = {
            name: [i for i, row in enumerate(self._rows) if (row.get("split") or "train") == name] for name in SPLITS
        }
        for name, share in self.fractions.items():
            if not rows[name]:
                speakers = [self._rows[row].get("speaker") or self._rows[row]["path"] for row in rows["train"]]
                kept, held = hold_out_speakers(speakers, share)
                rows["train"], rows[name] = [[rows["train"][row] for row in part] for part in (kept, held)]
        return rows

    def recordings(self, split: str) -> Recordings:
        """The rows of a split, in the order of the file."""
        rows = self._split_rows["test" if split == "predict" else split]
        hot = np.zeros((len(rows), len(self.classes)), np.float32)
        place = {label: column for column, label in enumerate(self.classes)}
        for number, row in enumerate(rows):
            hot[number, [place[label] for label in self._labels[row]]] = 1
        cut = "start" in self._rows[0] or "end" in self._rows[0]
        return Recordings(
            [self.manifest.parent / self._rows[row]["path"] for row in rows],
            [self._name(row) for row in rows],
            hot if self.multi_label else hot.argmax(1),
            [self._spans[row] for row in rows] if cut else None,
        )

    def _name(self, row: int) -> str:
        start, end = (self._rows[row].get(column, "") for column in ("start", "end"))
        return self._rows[row]["path"] + (f" {start or 0}-{end}" if start or end else "")

    @cached_property
    def _spans(self) -> list[Span]:
        return [self._span(line, row) for line, row in enumerate(self._rows, start=2)]

    def _span(self, line: int, row: Row) -> Span:
        start, end = (row.get(column, "").strip() for column in ("start", "end"))
        try:
            span = float(start or 0), float(end) if end else None
        except ValueError as error:
            raise DataError(f"{self.manifest}, line {line}: start and end must be in seconds") from error
        if not 0 <= span[0] < (np.inf if span[1] is None else span[1]):
            raise DataError(f"{self.manifest}, line {line}: start {start} must be from 0 and before the end {end}")
        return span
