"""UrbanSound8K in its published layout."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from blockyard.datamodules.audio.folds import FoldClip, FoldedAudio, as_numbers, count_clips, shared_sources
from blockyard.datamodules.audio.listing import find_tree
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.tables import read_rows
from blockyard.mistakes import DataError
from blockyard.publishers.sets import how_to_get

TABLE = "metadata/UrbanSound8K.csv"
NAME = re.compile(r"(\d+)-(\d)-(\d+)-(\d+)\.wav")
CLASSES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)
CLASS_COUNTS = (1000, 429, 1000, 1000, 1000, 1000, 374, 1000, 929, 1000)
FOLD_COUNTS = (873, 888, 925, 990, 936, 823, 838, 806, 816, 837)


class UrbanSound8K(FoldedAudio):
    """UrbanSound8K: 8,732 sounds of up to four seconds, ten classes, in ten folds (CC BY-NC).

    Read from ``UrbanSound8K/audio/fold<1..10>`` and ``metadata/UrbanSound8K.csv``, whose ``classID`` is the label. The
    files have whatever rate, depth and channels their sources had. As its authors ask, the score is the mean of ten
    tests; by default each trains on eight folds, validates on one and tests on one. Five recordings have fragments in
    two folds, of which a warning tells.

    Args:
        root: ``UrbanSound8K`` or the folder that it is in.
        fold: The fold to test on, 1 to 10.
        sample_rate: Rate of the waveforms in Hz.
        duration: Length of a waveform in seconds.
        options: Those of :class:`~blockyard.datamodules.audio.folds.FoldedAudio`.

    Raises:
        ValueError: If there is no such fold, or a number is out of range.
    """

    folds: ClassVar[int] = 10
    published: ClassVar[dict[str, int]] = (
        {"clips": 8732, "of salience 1": 5702, "of salience 2": 3030}
        | {f"in fold {fold}": count for fold, count in enumerate(FOLD_COUNTS, start=1)}
        | {f"of {name}": count for name, count in zip(CLASSES, CLASS_COUNTS, strict=True)}
    )

    def __init__(
        self, root: str = "data", fold: int = 1, sample_rate: int = 16_000, duration: float = 4.0, **options: Any
    ) -> None:
        super().__init__(root, fold, sample_rate=sample_rate, duration=duration, **options)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of ``classID``."""
        return list(CLASSES)

    def read_clips(self) -> tuple[Path, list[FoldClip]]:
        """The folder ``audio`` and the rows of ``UrbanSound8K.csv``."""
        place = find_tree(self.root, TABLE, ("UrbanSound8K",), how_to_get("urbansound8k", self.root))
        file = place / TABLE
        rows = list(enumerate(read_rows(file), start=2))
        clips = []
        for line, row in rows:
            fold, target = as_numbers(file, line, row, ("fold", "classID"))
            name = row["slice_file_name"]
            if not NAME.fullmatch(name) or not 1 <= fold <= 10 or CLASSES[target : target + 1] != (row["class"],):
                raise DataError(
                    f"{file}, line {line}: not a name, fold and class of UrbanSound8K: {', '.join(row.values())}"
                )
            clips.append(FoldClip(f"fold{fold}/{name}", fold, target, CLASSES[target], row["fsID"]))
        found = count_clips(clips) + Counter(f"of salience {row['salience']}" for _, row in rows)
        check_counts(file, found, self.published, self.verify)
        if shared := shared_sources(clips):
            told = ", ".join(f"{source} (folds {' and '.join(map(str, folds))})" for source, folds in shared.items())
            warnings.warn(f"{file}: fragments of one recording in two folds: {told}", stacklevel=2)
        return place / "audio", clips
