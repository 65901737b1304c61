"""UCF-101 in its published layout."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.video.official_splits import OTHER_DATA, Archive, OfficialSplits
from blockyard.mistakes import DataError, nearest
from blockyard.publishers.sets import SETS

PAGE = SETS["ucf101"].page
VIDEOS, LISTS = "UCF-101", "ucfTrainTestlist"
(LIST_ARCHIVE,) = SETS["ucf101_lists"].archives


class UCF101(OfficialSplits):
    """UCF-101: 13,320 videos of 101 actions, 320×240, in three official splits.

    Read from ``root/UCF-101/<Class>/v_<Class>_gXX_cYY.avi`` and ``root/ucfTrainTestlist``; labels are those of
    ``classInd.txt`` minus one, groups the gXX. Results are usually the mean of the three splits, or of split 1 alone:
    say which. The arguments are those of :class:`~blockyard.datamodules.video.official_splits.OfficialSplits`.
    """

    page = PAGE
    published_classes: ClassVar[int] = 101
    archives: ClassVar = {
        # Of which no checksum is known. UCF101_videos.zip, of THUMOS 2014, has other names and no folders of classes.
        VIDEOS: Archive("UCF101.rar", "unrar x {archive} {root}/"),
        LISTS: Archive(LIST_ARCHIVE.name, "unzip {archive} -d {root}", LIST_ARCHIVE.digest, "ucf101_lists"),
    }
    published: ClassVar[dict[int, dict[str, int]]] = {
        1: {"train": 9537, "test": 3783},
        2: {"train": 9586, "test": 3734},
        3: {"train": 9624, "test": 3696},
    }
    """Videos in each list."""

    @cached_property
    def _labels(self) -> dict[str, int]:
        file = self.folder(LISTS) / "classInd.txt"
        rows = [line.partition(" ") for line in _lines(file)]
        if [number for number, _, _ in rows] != [str(number) for number in range(1, len(rows) + 1)]:
            raise DataError(f"{file}: lines must be '1 <Class>', '2 <Class>', …")
        if self.verify and len(rows) != self.published_classes:
            raise DataError(f"{file}: {len(rows)} classes, not {self.published_classes}; {OTHER_DATA}")
        return {name.strip(): label for label, (_, _, name) in enumerate(rows)}

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of ``classInd.txt``."""
        return list(self._labels)

    def group(self, name: str) -> str:
        """The gXX of a file name."""
        return name.rpartition("_c")[0].rpartition("_")[2]

    def listed(self, part: str) -> tuple[list[str], NDArray[np.int64]]:
        """The videos of a list file."""
        file = self.folder(LISTS) / f"{part}list{self.official_split:02d}.txt"
        names, targets = self._read_list(file)
        self._check_count(file, part, len(names))
        return names, targets

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
        self.expect(file, count, self.published[self.official_split][part], "videos")


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise DataError(f"{file} is missing: get {LIST_ARCHIVE.name} from {PAGE}")
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
