"""UCF-101 in its published layout."""

from __future__ import annotations

import os
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.base import DataError
from blockyard.datamodules.video_listing import (
    Listing,
    find_listed,
    hold_out_groups,
    how_to_unpack,
    settle_missing,
)
from blockyard.datamodules.videos import VideoDataModule
from blockyard.mistakes import nearest

PAGE = "https://www.crcv.ucf.edu/data/UCF101.php"
VIDEOS, LISTS = "UCF-101", "ucfTrainTestlist"
ARCHIVES = {
    VIDEOS: ("UCF101_videos.zip", "dabf56f573cd19c79e096563529fec8126a2a34e18e10c72eb621dd687532b0d"),
    LISTS: (
        "UCF101TrainTestSplits-RecognitionTask.zip",
        "5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",
    ),
}
"""Archive of each folder and its sha256; the videos also come as UCF101.rar, for which no checksum is known."""


class UCF101(VideoDataModule):
    """UCF-101: 13,320 videos of 101 actions, 320×240, in three official splits.

    Read from ``root/UCF-101/<Class>/v_<Class>_gXX_cYY.avi`` and ``root/ucfTrainTestlist``; labels are those of
    ``classInd.txt`` minus one. A group (gXX) of a class is cut from one recording, so validation, which has no
    published split, takes whole groups: of each class the last ones that make up ``val_fraction`` of its training
    videos. Results are usually the mean of the three splits, or of split 1 alone: say which. ``predict`` without
    ``predict_path`` is the test split without its labels.

    Args:
        root: Folder that contains ``UCF-101`` and ``ucfTrainTestlist``.
        split: Official split.
        val_fraction: Share of the training videos held out for validation; 0 trains on all of them.
        verify: Whether the lists must have the published counts and every listed video must be there. False reads other
            data in the same layout; training then goes without a video that is missing, and a test counts it as one
            that can't be decoded.
        options: Those of :class:`~blockyard.datamodules.videos.VideoDataModule`.

    Raises:
        ValueError: If there is no such split, or a number is out of range.
    """

    published: ClassVar[dict[int, dict[str, int]]] = {
        1: {"train": 9537, "test": 3783},
        2: {"train": 9586, "test": 3734},
        3: {"train": 9624, "test": 3696},
    }
    """Videos in each list."""

    def __init__(
        self,
        root: str = "data",
        split: Literal[1, 2, 3] = 1,
        val_fraction: float = 0.15,
        verify: bool = True,
        **options: Any,
    ) -> None:
        root = os.fspath(root)  # a Path among the hyperparameters would make checkpoints unreadable
        super().__init__(**options)
        if split not in self.published or not 0 <= val_fraction < 1:
            raise ValueError(f"UCF101: split={split} must be 1, 2 or 3 and val_fraction={val_fraction} in [0, 1)")
        self.root = Path(root)
        self.official_split = split
        self.val_fraction = val_fraction
        self.verify = verify

    @cached_property
    def _labels(self) -> dict[str, int]:
        file = self._folder(LISTS) / "classInd.txt"
        rows = [line.partition(" ") for line in _lines(file)]
        if [number for number, _, _ in rows] != [str(number) for number in range(1, len(rows) + 1)]:
            raise DataError(f"{file}: lines must be '1 <Class>', '2 <Class>', …")
        if self.verify and len(rows) != 101:
            raise DataError(f"{file}: {len(rows)} classes, not 101; verify=False reads other data in the same layout")
        return {name.strip(): label for label, (_, _, name) in enumerate(rows)}

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of ``classInd.txt``."""
        return list(self._labels)

    def videos(self, split: str) -> Listing:
        """The videos of a list file, in its order; of the training list those held out or those that stay."""
        part = "train" if split in ("train", "val") else "test"
        file = self._folder(LISTS) / f"{part}list{self.official_split:02d}.txt"
        names, targets = self._read_list(file)
        self._check_count(file, part, len(names))
        if part == "train":
            groups = [_group(name) for name in names]
            rows = hold_out_groups(targets, groups, self.val_fraction, self.classes)[split == "val"]
            names, targets = [names[row] for row in rows], targets[rows]
        paths = find_listed(self._folder(VIDEOS), names)
        return settle_missing(str(file), paths, names, targets, training=split == "train", strict=self.verify)

    def _read_list(self, file: Path) -> tuple[list[str], NDArray[np.int64]]:
        names, targets = [], []
        for number, line in enumerate(_lines(file), start=1):
            name, _, label = line.partition(" ")  # no label in a test list
            title = name.partition("/")[0]
            if title not in self._labels:
                raise DataError(f"{file}, line {number}: no class {title}; {nearest(title, self._labels)}")
            if label.strip() not in ("", str(self._labels[title] + 1)):
                raise DataError(f"{file}, line {number}: {title} is {self._labels[title] + 1}, not {label.strip()}")
            names.append(name)
            targets.append(self._labels[title])
        return names, np.array(targets, dtype=np.int64)

    def _check_count(self, file: Path, part: str, count: int) -> None:
        if count == self.published[self.official_split][part]:
            return
        message = f"{file} lists {count} videos, not the published {self.published[self.official_split][part]}"
        if self.verify:
            raise DataError(f"{message}; verify=False reads other data in the same layout")
        warnings.warn(message, stacklevel=2)

    def _folder(self, name: str) -> Path:
        if not (folder := self.root / name).is_dir():
            archive, digest = ARCHIVES[name]
            unpack = f"unzip {self.root / archive} -d {self.root}"
            get = f"get {archive} from {PAGE} and unpack it in {self.root}"
            raise DataError(
                f"{folder} is missing: {how_to_unpack(self.root / archive, ('sha256', digest), unpack) or get}"
            )
        return folder


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise DataError(f"{file} is missing: get {ARCHIVES[LISTS][0]} from {PAGE}")
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _group(name: str) -> str:
    """The gXX of a file name."""
    return name.rpartition("_c")[0].rpartition("_")[2]
