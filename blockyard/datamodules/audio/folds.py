"""Sounds published in folds, on each of which the test is done once."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from blockyard.datamodules.audio.base import AudioDataModule
from blockyard.datamodules.audio.listing import Recordings
from blockyard.datamodules.holding_out import hold_out_groups
from blockyard.mistakes import DataError


class FoldClip(NamedTuple):
    """A row of the published table.

    Attributes:
        path: Below the folder of sounds.
        fold: From 1.
        target: Label.
        title: Name of the class.
        source: The recording that it is a fragment of.
    """

    path: str
    fold: int
    target: int
    title: str
    source: str


class FoldedAudio(AudioDataModule):
    """Sounds in published folds: ``fold`` is the test, the others are for training and validation.

    The score of the data set is the mean over all folds. A random split would put fragments of one recording on both
    sides, and so would choosing the best epoch on the test fold. ``predict`` without ``predict_path`` is the test fold
    without its labels.

    Args:
        root: Folder of the data set, or the one that it is in.
        fold: The fold to test on.
        validation: ``fold`` takes the fold after the test fold (after the last one the first); ``sources`` takes of
            each class whole recordings that make up ``val_fraction`` of the training clips; ``none`` trains on all.
        val_fraction: Share held out by ``sources``.
        verify: Whether everything must have the published counts. False reads other data in the same layout.
        options: Those of :class:`~blockyard.datamodules.audio.base.AudioDataModule`.

    Raises:
        ValueError: If there is no such fold, or a number is out of range.
    """

    folds: ClassVar[int]

    def __init__(
        self,
        root: str = "data",
        fold: int = 1,
        validation: Literal["fold", "sources", "none"] = "fold",
        val_fraction: float = 0.15,
        verify: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        title = type(self).__name__
        if not 1 <= fold <= self.folds or not 0 < val_fraction < 1:
            raise ValueError(f"{title}: fold={fold} must be 1 to {self.folds}, val_fraction={val_fraction} in (0, 1)")
        if validation not in ("fold", "sources", "none"):
            raise ValueError(f"{title}: validation={validation} must be fold, sources or none")
        self.root = Path(root)
        self.fold = fold
        self.validation = validation
        self.val_fraction = val_fraction
        self.verify = verify

    @abstractmethod
    def read_clips(self) -> tuple[Path, list[FoldClip]]:
        """The folder of sounds and the rows of the published table.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their labels."""
        return [title for _, title in sorted({(clip.target, clip.title) for clip in self._clips[1]})]

    @cached_property
    def _clips(self) -> tuple[Path, list[FoldClip]]:
        return self.read_clips()

    def recordings(self, split: str) -> Recordings:
        """The clips of a split, in the order of the table."""
        folder, clips = self._clips
        folds = np.array([clip.fold for clip in clips])
        after = self.fold % self.folds + 1
        rows = np.flatnonzero(folds == self.fold)
        if split in ("train", "val"):
            others = np.flatnonzero(folds != self.fold)
            if self.validation == "fold":
                kept, held = others[folds[others] != after], others[folds[others] == after]
            else:
                targets = np.array([clips[row].target for row in others])
                sources = [clips[row].source for row in others]
                share = self.val_fraction if self.validation == "sources" else 0.0
                kept, held = (others[part] for part in hold_out_groups(targets, sources, share, self.classes))
            rows = held if split == "val" else kept
        paths, names = [folder / clip.path for clip in clips], [clip.path for clip in clips]
        return Recordings(paths, names, np.array([clip.target for clip in clips], dtype=np.int64)).take(rows)


def shared_sources(clips: Sequence[FoldClip]) -> dict[str, list[int]]:
    """Recordings with fragments in more than one fold, and in which."""
    folds: dict[str, set[int]] = {}
    for clip in clips:
        folds.setdefault(clip.source, set()).add(clip.fold)
    return {source: sorted(of_source) for source, of_source in sorted(folds.items()) if len(of_source) > 1}


def count_clips(clips: Sequence[FoldClip]) -> Counter[str]:
    """How many clips there are, in each fold and of each class."""
    folds = Counter(f"in fold {clip.fold}" for clip in clips)
    return Counter({"clips": len(clips)}) + folds + Counter(f"of {clip.title}" for clip in clips)


def as_numbers(file: Path, line: int, row: Mapping[str, str], columns: Sequence[str]) -> list[int]:
    """Whole numbers in some columns of a row.

    Raises:
        DataError: If one is none.
    """
    try:
        return [int(row[column]) for column in columns]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}, line {line}: {', '.join(columns)} must be whole numbers") from error
