"""MSMT17 in its published layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from blockyard.datamodules.listing import check_files
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.reid.base import PictureDataModule
from blockyard.datamodules.reid.sightings import Retrieval, Sightings, pictures
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["msmt17"].page
FOLDERS = {
    "V1": ("MSMT17_V1", "train", "test"),
    "V2": ("MSMT17_V2", "mask_train_v2", "mask_test_v2"),
}
"""By version, the folder and its parts for training and test."""
NAME = re.compile(r"(?:[^/.][^/]*/)*\d{4}_\d{3}_(\d{2})_\d{4}(?:morning|noon|afternoon)_\d{4}_\d+(?:_ex)?\.jpg")
CAMERAS = 15


class MSMT17(PictureDataModule):
    """MSMT17 (Wei et al., CVPR 2018): 126,441 pictures of 4,101 people by 15 cameras.

    Read from ``root/MSMT17_V1/{train,test}`` or ``root/MSMT17_V2/{mask_train_v2,mask_test_v2}``, whose faces are
    blurred, and the four lists beside them. Training and test both number their people from 0.

    Args:
        root: Folder that contains ``MSMT17_V1`` or ``MSMT17_V2``.
        version: Which of the two.
        combine_val: Whether to train on the pictures of ``list_val.txt`` too, 32,621 in all: results with and without
            them are both published, so say which.
        verify: Whether there must be as many pictures and people as were published. False reads other data in the same
            layout.
        options: Those of :class:`~blockyard.datamodules.reid.base.PersonDataModule`.

    Raises:
        ValueError: If there is no such version, or a number is out of range.
    """

    published: ClassVar[dict[str, int]] = {
        "pictures in list_train.txt and list_val.txt": 32_621,
        "training people": 1_041,
        "queries": 11_659,
        "gallery pictures": 82_161,
        "people tested on": 3_060,
    }
    numbered_apart: ClassVar[bool] = True

    def __init__(
        self,
        root: str = "data",
        version: Literal["V1", "V2"] = "V2",
        combine_val: bool = False,
        verify: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if version not in FOLDERS:
            raise ValueError(f"MSMT17: no version {version!r}; allowed: {', '.join(FOLDERS)}")
        self.root = Path(root)
        self.version = version
        self.combine_val = combine_val
        self.verify = verify

    def training(self) -> Sightings:
        """The pictures of ``list_train.txt``, and of ``list_val.txt`` if asked for: they are in one folder."""
        train, val = self._read("train", 1), self._read("val", 1)
        people = len(np.unique((train + val).identities))
        counts = {"pictures in list_train.txt and list_val.txt": len(train) + len(val), "training people": people}
        check_counts(self._folder(), counts, self.published, self.verify)
        return train + val if self.combine_val else train

    def testing(self) -> Retrieval:
        """The pictures of ``list_query.txt`` against those of ``list_gallery.txt``."""
        query, gallery = self._read("query", 2), self._read("gallery", 2)
        pool = query + gallery
        counts = {
            "queries": len(query),
            "gallery pictures": len(gallery),
            "people tested on": len(np.unique(pool.identities)),
        }
        check_counts(self._folder(), counts, self.published, self.verify)
        positions = np.arange(len(pool))
        protocol = f"msmt17-{self.version.lower()}"
        return Retrieval(pool, positions[: len(query)], positions[len(query) :], protocol).check(self._folder())

    def _folder(self) -> Path:
        folder = self.root / FOLDERS[self.version][0]
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: ask for it at {PAGE} and unpack it in {self.root}")
        return folder

    def _read(self, part: str, place: int) -> Sightings:
        """The pictures of a list; the camera is in a file's own name, for folders may have _ in theirs too."""
        file, folder = self._folder() / f"list_{part}.txt", self._folder() / FOLDERS[self.version][place]
        if not file.is_file():
            raise DataError(f"{file} is missing: some copies lack it; get the whole data set from {PAGE}")
        names, identities, cameras = [], [], []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            name, _, identity = line.strip().rpartition(" ")
            field = NAME.fullmatch(name)
            if field is None or not identity.isdecimal() or not 1 <= int(field[1]) <= CAMERAS:
                raise DataError(
                    f"{file}, line {number}: '0000/0000_000_01_0303morning_0008_0.jpg 0' or the like expected, "
                    f"with camera 01 to {CAMERAS}, not {line.strip()!r}"
                )
            names.append(name)
            identities.append(int(identity))
            cameras.append(int(field[1]))
        if not names:
            raise DataError(f"{file} lists no picture")
        found = pictures(folder, names, identities, cameras)
        check_files([path for (path,) in found.frames], file)
        return found
