"""HMDB-51 in its published layout."""

from __future__ import annotations

import os
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from blockyard.datamodules.base import DataError
from blockyard.datamodules.video_listing import (
    Listing,
    find_listed,
    hold_out_groups,
    how_to_unpack,
    settle_missing,
)
from blockyard.datamodules.videos import VideoDataModule

PAGE = "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/"
VIDEOS, LISTS = "hmdb51_org", "testTrainMulti_7030_splits"
CODES = {"train": "1", "test": "2"}
"""In a list file; 0 marks videos that a split does not use."""
PER_CLASS = {"train": 70, "test": 30}


class HMDB51(VideoDataModule):
    """HMDB-51: 51 actions, in three official splits of 70 training and 30 test videos a class.

    Read from ``root/hmdb51_org/<class>/*.avi`` and ``root/testTrainMulti_7030_splits/<class>_test_split<k>.txt``.
    Classes are sorted by name. Videos of a class that start with the same source are cut from one film, so validation
    takes whole sources: of each class the last ones that make up ``val_fraction`` of its training videos. ``predict``
    without ``predict_path`` is the test split without its labels.

    Args:
        root: Folder that contains the two.
        split: Official split.
        val_fraction: Share of the training videos held out for validation; 0 trains on all of them.
        verify: Whether the lists must have the published counts and every listed video must be there. False reads other
            data in the same layout; training then goes without a video that is missing, and a test counts it as one
            that can't be decoded.
        options: Those of :class:`~blockyard.datamodules.videos.VideoDataModule`.

    Raises:
        ValueError: If there is no such split, or a number is out of range.
    """

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
        if split not in (1, 2, 3) or not 0 <= val_fraction < 1:
            raise ValueError(f"HMDB51: split={split} must be 1, 2 or 3 and val_fraction={val_fraction} in [0, 1)")
        self.root = Path(root)
        self.official_split = split
        self.val_fraction = val_fraction
        self.verify = verify

    @cached_property
    def _lists(self) -> dict[str, Path]:
        """The list file of each class: by the end of its name, for climb is also the start of climb_stairs."""
        ending = f"_test_split{self.official_split}.txt"
        folder = self._folder(LISTS, "test_train_splits.rar", ("md5", "15e67781e70dcfbdce2d7dbb9b3344b5"))
        files = [path for path in sorted(folder.iterdir()) if path.name.endswith(ending)]
        found = {path.name.removesuffix(ending): path for path in files}
        if not found or (self.verify and len(found) != 51):
            raise DataError(f"{folder}: {len(found)} files named <class>{ending}, not 51: get them from {PAGE}")
        return found

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(self._lists)

    def videos(self, split: str) -> Listing:
        """The videos of the list files, class by class; of the training videos those held out or those that stay."""
        part = "train" if split in ("train", "val") else "test"
        listed = [(name, label) for label, title in enumerate(self.classes) for name in self._read(title, part)]
        names, targets = [name for name, _ in listed], np.array([label for _, label in listed], dtype=np.int64)
        if part == "train":
            groups = [name.rpartition("/")[2].partition(f"_{name.partition('/')[0]}_")[0] for name in names]
            rows = hold_out_groups(targets, groups, self.val_fraction, self.classes)[split == "val"]
            names, targets = [names[row] for row in rows], targets[rows]
        paths = find_listed(self._folder(VIDEOS, "hmdb51_org.rar", None), names)
        title = f"{self.root / VIDEOS}, {part} videos of split {self.official_split}"
        return settle_missing(title, paths, names, targets, training=split == "train", strict=self.verify)

    def _read(self, title: str, part: str) -> list[str]:
        file = self._lists[title]
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        if bad := [number for number, row in enumerate(rows, 1) if len(row) != 2 or row[1] not in ("0", "1", "2")]:
            raise DataError(f"{file}, line {bad[0]}: '<video>.avi 0', 1 or 2 expected")
        names = [f"{title}/{name}" for name, code in rows if code == CODES[part]]
        if len(names) != PER_CLASS[part]:
            message = f"{file} lists {len(names)} {part} videos, not the published {PER_CLASS[part]}"
            if self.verify:
                raise DataError(f"{message}; verify=False reads other data in the same layout")
            warnings.warn(message, stacklevel=2)
        return names

    def _folder(self, name: str, archive: str, digest: tuple[str, str] | None) -> Path:
        if not (folder := self.root / name).is_dir():
            unpack = f"unrar x {self.root / archive} {folder}/, then the archive of each class inside"
            get = f"get {archive} from {PAGE} and unpack it there"
            raise DataError(f"{folder} is missing: {how_to_unpack(self.root / archive, digest, unpack) or get}")
        return folder
