"""HMDB-51 in its published layout."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.video.official_splits import Archive, OfficialSplits
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["hmdb51"].page
VIDEOS, LISTS = "hmdb51_org", "testTrainMulti_7030_splits"
CODES = {"train": "1", "test": "2"}
"""In a list file; 0 marks videos that a split does not use."""
PER_CLASS = {"train": 70, "test": 30}


class HMDB51(OfficialSplits):
    """HMDB-51: 51 actions, in three official splits of 70 training and 30 test videos a class.

    Read from ``root/hmdb51_org/<class>/*.avi`` and ``root/testTrainMulti_7030_splits/<class>_test_split<k>.txt``.
    Classes are sorted by name. Videos of a class that start with the same source are cut from one film: a group. The
    arguments are those of :class:`~blockyard.datamodules.video.official_splits.OfficialSplits`.
    """

    page = PAGE
    published_classes: ClassVar[int] = 51
    archives: ClassVar = {
        VIDEOS: Archive("hmdb51_org.rar", "unrar x {archive} {folder}/, then the archive of each class inside"),
        LISTS: Archive(
            "test_train_splits.rar", "unrar x {archive} {folder}/", ("md5", "15e67781e70dcfbdce2d7dbb9b3344b5")
        ),
    }

    @cached_property
    def _lists(self) -> dict[str, Path]:
        """The list file of each class: by the end of its name, for climb is also the start of climb_stairs."""
        ending = f"_test_split{self.official_split}.txt"
        folder = self.folder(LISTS)
        files = [path for path in sorted(folder.iterdir()) if path.name.endswith(ending)]
        found = {path.name.removesuffix(ending): path for path in files}
        if not found or (self.verify and len(found) != self.published_classes):
            expected = f"files named <class>{ending}, not {self.published_classes}"
            raise DataError(f"{folder}: {len(found)} {expected}: get them from {PAGE}")
        return found

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(self._lists)

    def group(self, name: str) -> str:
        """The film: what comes before the class in a file name."""
        title, _, file = name.partition("/")
        return file.partition(f"_{title}_")[0]

    def listed(self, part: str) -> tuple[list[str], NDArray[np.int64]]:
        """The videos of the list files, class by class."""
        found = [self._read(title, part) for title in self.classes]
        targets = np.repeat(np.arange(len(found)), [len(names) for names in found])
        return [name for names in found for name in names], targets

    def _read(self, title: str, part: str) -> list[str]:
        file = self._lists[title]
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        if bad := [number for number, row in enumerate(rows, 1) if len(row) != 2 or row[1] not in ("0", "1", "2")]:
            raise DataError(f"{file}, line {bad[0]}: '<video>.avi 0', 1 or 2 expected")
        names = [f"{title}/{name}" for name, code in rows if code == CODES[part]]
        self.expect(file, len(names), PER_CLASS[part], f"{part} videos")
        return names
