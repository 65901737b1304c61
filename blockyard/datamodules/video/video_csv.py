"""Videos listed in CSV files, as Kinetics is."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.holding_out import hold_out_groups
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.tables import check_agreement, read_rows, sorted_labels
from blockyard.datamodules.video.base import VideoDataModule
from blockyard.datamodules.video.listing import VIDEOS, find_listed, settle_missing
from blockyard.mistakes import DataError, nearest

CLIP = ("youtube_id", "time_start", "time_end")


class VideoCSV(VideoDataModule):
    """Videos listed in CSV files with a header.

    The columns are ``label`` and either ``path`` or Kinetics' ``youtube_id,time_start,time_end``. A ``path`` is
    relative to ``root``. Of Kinetics, the file ``<youtube_id>_<start>_<end>.*``, times in whole seconds of six digits,
    is looked for below ``root`` at any depth: copies name the class folders differently. Classes are the sorted labels
    of the training list, as written, in the order of numbers if all are numbers; a list that is only read for
    ``predict`` needs none, as that of Kinetics' challenges has none. Kinetics loses videos year by year: training goes
    without those that are missing, a test counts them as videos that can't be decoded, and both say how many. Without a
    ``val`` list, the last ``val_fraction`` of each class's training videos, in the order of ids or paths, are for
    validation, the clips of one id together. Kinetics is usually tested on its *val* list.

    Args:
        root: Folder of the videos.
        train: Training list, relative to ``root`` unless absolute.
        val: Validation list, or None.
        test: Test list.
        val_fraction: Share held out for validation where there is no ``val`` list; 0 trains on all.
        options: Those of :class:`~blockyard.datamodules.video.base.VideoDataModule`; ``predict_path`` None means the
            test list without its labels.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        root: str,
        train: str = "annotations/train.csv",
        val: str | None = None,
        test: str = "annotations/val.csv",
        val_fraction: float = 0.05,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 <= val_fraction < 1:
            raise ValueError(f"VideoCSV: val_fraction={val_fraction} must be in [0, 1)")
        self.root = Path(root)
        self.lists = {"train": train, "val": val, "test": test, "predict": test}
        self.val_fraction = val_fraction

    @cached_property
    def _labels(self) -> dict[str, int]:
        labels = sorted_labels((row["label"] for row in self._rows("train")), self._file("train"))
        return {label: number for number, label in enumerate(labels)}

    @property
    def classes(self) -> list[str]:
        """Sorted labels of the training list."""
        return list(self._labels)

    def videos(self, split: str) -> Listing:
        """The videos of a list, in its order."""
        carve = split in ("train", "val") and self.lists["val"] is None
        source = "train" if carve else split
        rows = self._rows(source)
        names = [self._name(source, number, row) for number, row in enumerate(rows, start=2)]
        targets = None if split == "predict" else self._targets(source, rows)
        if carve and targets is not None:
            groups = [row.get("youtube_id") or row["path"] for row in rows]
            keep = hold_out_groups(targets, groups, self.val_fraction, self.classes)[split == "val"]
            names, targets = [names[row] for row in keep], targets[keep]
        paths = find_listed(self.root, names) if "path" in rows[0] else [self._files.get(name) for name in names]
        return settle_missing(str(self._file(source)), paths, names, targets, training=split == "train")

    def _targets(self, source: str, rows: list[dict[str, str]]) -> NDArray[np.int64]:
        for number, row in enumerate(rows, start=2):
            if row["label"] not in self._labels:
                hint = nearest(row["label"], self._labels)
                raise DataError(f"{self._file(source)}, row {number}: {row['label']!r} is no label of training; {hint}")
        return np.array([self._labels[row["label"]] for row in rows], dtype=np.int64)

    def _name(self, source: str, number: int, row: dict[str, str]) -> str:
        """A path, or the name of a clip of Kinetics without its ending; some lists give times as floats."""
        if "path" in row:
            return row["path"]
        try:
            start, end = (int(float(row[key])) for key in ("time_start", "time_end"))
        except ValueError as error:
            raise DataError(f"{self._file(source)}, row {number}: the times must be seconds ({error})") from error
        return f"{row['youtube_id']}_{start:06d}_{end:06d}"

    @cached_property
    def _files(self) -> dict[str, Path]:
        return {path.stem: path for path in VIDEOS.find(self.root).paths}

    def _file(self, source: str) -> Path:
        return self.root / str(self.lists[source])

    def _rows(self, source: str) -> list[dict[str, str]]:
        file = self._file(source)
        if not file.is_file():
            raise DataError(f"{file} is missing: a CSV file with the header label,path or label,{','.join(CLIP)}")
        rows = read_rows(file, restkey="more", restval="")
        columns = set(rows[0]) if rows else set()
        wanted = set() if source == "predict" else {"label"}
        if not columns >= wanted or not ("path" in columns or columns >= set(CLIP)):
            label = "label and " if wanted else ""
            raise DataError(f"{file}: the header must name {label}either path or {', '.join(CLIP)}; and rows follow")
        for number, row in enumerate(rows, start=2):
            if not all(row[column] for column in wanted | ({"path"} & columns)):
                raise DataError(f"{file}, row {number}: {' and '.join(sorted(wanted | ({'path'} & columns)))} expected")
        if wanted and "path" in columns:
            check_agreement(file, [row["path"] for row in rows], [row["label"] for row in rows])
        return rows
