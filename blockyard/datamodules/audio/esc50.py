"""ESC-50 in its published layout."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Literal

from blockyard.datamodules.audio.folds import FoldClip, FoldedAudio, as_numbers, count_clips
from blockyard.datamodules.audio.listing import find_tree
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.tables import read_rows
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["esc50"].page
TABLE = "meta/esc50.csv"
NAME = re.compile(r"([1-5])-(\d+)-([A-Z])-(\d{1,2})\.wav")


class ESC50(FoldedAudio):
    """ESC-50: 2,000 environmental sounds of five seconds, 50 classes, in five folds (CC BY-NC 3.0).

    Read from ``ESC-50-master/audio`` and ``meta/esc50.csv``; fragments of one recording are in one fold. Labels are the
    ``target`` of the table; of ESC-10, a subset of ten classes, they are its targets in order, from 0.

    Args:
        root: ``ESC-50-master`` or the folder that it is in.
        fold: The fold to test on, 1 to 5.
        subset: 50 classes, or the ten of ESC-10.
        sample_rate: Rate of the waveforms in Hz; the files have 44,100.
        duration: Length of a waveform in seconds.
        options: Those of :class:`~blockyard.datamodules.audio.folds.FoldedAudio`.

    Raises:
        ValueError: If there is no such fold or subset, or a number is out of range.
    """

    published_rate = 44_100
    folds: ClassVar[int] = 5
    published_classes: ClassVar[int] = 50
    published: ClassVar[dict[int, dict[str, int]]] = {
        50: {"clips": 2000, "classes": 50} | {f"in fold {fold}": 400 for fold in range(1, 6)},
        10: {"clips": 400, "classes": 10} | {f"in fold {fold}": 80 for fold in range(1, 6)},
    }

    def __init__(
        self,
        root: str = "data",
        fold: int = 1,
        subset: Literal[50, 10] = 50,
        sample_rate: int = 16_000,
        duration: float = 5.0,
        **options: Any,
    ) -> None:
        super().__init__(root, fold, sample_rate=sample_rate, duration=duration, **options)
        if subset not in (50, 10):
            raise ValueError(f"ESC50: subset={subset} must be 50 or 10")
        self.subset: Literal[50, 10] = subset

    def read_clips(self) -> tuple[Path, list[FoldClip]]:
        """The folder ``audio`` and the rows of ``esc50.csv``, of ESC-10 those that it marks."""
        place = find_tree(self.root, TABLE, ("ESC-50-master",), f"get {PAGE}/archive/master.zip and unpack it there")
        file = place / TABLE
        rows = list(enumerate(read_rows(file), start=2))
        clips = []
        for line, row in rows:
            fold, target = as_numbers(file, line, row, ("fold", "target"))
            match = NAME.fullmatch(row["filename"])
            if not match or (int(match[1]), int(match[4])) != (fold, target):
                raise DataError(f"{file}, line {line}: {row['filename']} is not {fold}-<clip>-<take>-{target}.wav")
            if self.subset == 50 or row["esc10"] == "True":
                clips.append(FoldClip(row["filename"], fold, target, row["category"], row["src_file"]))
        targets = sorted({clip.target for clip in clips})
        clips = [clip._replace(target=targets.index(clip.target)) for clip in clips]
        titles = {clip.title for clip in clips}
        found = count_clips(clips) + Counter({"classes": len(titles)})
        check_counts(file, found, self.published[self.subset] | {f"of {title}": 40 for title in titles}, self.verify)
        return place / "audio", clips
