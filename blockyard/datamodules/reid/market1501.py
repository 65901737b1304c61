"""Market-1501 in its published layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from blockyard.datamodules.folders import LeftOut, names_in
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.reid.base import PictureDataModule
from blockyard.datamodules.reid.sightings import DISTRACTOR, JUNK, Retrieval, Sightings, pictures
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["market1501"].page
FOLDER, ARCHIVE = "Market-1501-v15.09.15", "Market-1501-v15.09.15.zip"
PARTS = ("bounding_box_train", "bounding_box_test")
NAME = re.compile(r"(-1|\d{4})_c([1-6])s(\d)_(\d{6})_(\d{2})\.jpg")
"""Identity, camera, sequence, frame and box."""


class Market1501(PictureDataModule):
    """Market-1501 (Zheng et al., ICCV 2015): 32,668 pictures of 1,501 people by six cameras.

    Read from ``root/Market-1501-v15.09.15/{bounding_box_train,query,bounding_box_test}/*.jpg``, or from these three in
    ``root`` itself or in another folder there. Of the gallery, junk (identity -1) is left out and distractors
    (identity 0) stay, which makes 15,913 pictures; neither is trained on.

    Args:
        root: Folder that contains ``Market-1501-v15.09.15``, or is what that was unpacked to.
        verify: Whether there must be as many pictures and people as were published. False reads other data in the same
            layout.
        options: Those of :class:`~blockyard.datamodules.reid.base.PersonDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    published: ClassVar[dict[str, int]] = {
        "training pictures": 12_936,
        "training people": 751,
        "queries": 3_368,
        "people asked for": 750,
        "pictures in bounding_box_test": 19_732,
        "junk pictures": 3_819,
        "gallery pictures": 15_913,
    }

    def __init__(self, root: str = "data", verify: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root)
        self.verify = verify

    def training(self) -> Sightings:
        """The pictures of ``bounding_box_train``."""
        found = self._read("bounding_box_train")
        found = found.take((found.identities != JUNK) & (found.identities != DISTRACTOR))
        counts = {"training pictures": len(found), "training people": len(np.unique(found.identities))}
        check_counts(self.root, counts, self.published, self.verify)
        return found

    def testing(self) -> Retrieval:
        """The pictures of ``query`` against those of ``bounding_box_test``."""
        query, boxes = self._read("query"), self._read("bounding_box_test")
        gallery = boxes.take(boxes.identities != JUNK)
        counts = {
            "queries": len(query),
            "people asked for": len(np.unique(query.identities)),
            "pictures in bounding_box_test": len(boxes),
            "junk pictures": len(boxes) - len(gallery),
            "gallery pictures": len(gallery),
        }
        check_counts(self.root, counts, self.published, self.verify)
        positions = np.arange(len(query) + len(gallery))
        retrieval = Retrieval(query + gallery, positions[: len(query)], positions[len(query) :], "market1501")
        return retrieval.check(self.root)

    def _read(self, part: str) -> Sightings:
        """The pictures of a folder; some copies have a Thumbs.db among them."""
        folder = self._folder() / part
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: get {ARCHIVE} from {PAGE} and unpack it in {self.root}")
        left = LeftOut()
        names = names_in(folder, lambda name: name.endswith(".jpg"), left)
        left.tell(folder, "picture")
        fields = [NAME.fullmatch(name) for name in names]
        if not names:
            raise DataError(f"{folder} holds no picture called like 0001_c1s1_001051_00.jpg")
        for name, field in zip(names, fields, strict=True):
            if field is None:
                raise DataError(f"{folder / name}: a name such as 0001_c1s1_001051_00.jpg expected, with camera 1 to 6")
        known = [field for field in fields if field is not None]
        found = pictures(folder, names, [int(field[1]) for field in known], [int(field[2]) for field in known])
        return Sightings(found.frames, [f"{part}/{name}" for name in names], found.identities, found.cameras)

    def _folder(self) -> Path:
        return find_market(self.root) or self.root / FOLDER


def find_market(root: Path) -> Path | None:
    """Where Market-1501's folders lie: as published, in ``root`` itself, or one folder below either; None if nowhere.

    Raises:
        DataError: If several folders in ``root`` have them.
    """

    def below(folder: Path) -> list[Path]:
        return [path for path in sorted(folder.iterdir()) if _is_market(path)] if folder.is_dir() else []

    for place in (root / FOLDER, root):
        if _is_market(place):
            return place
    found = below(root / FOLDER) or below(root)
    if len(found) > 1:
        raise DataError(f"{root}: {found[0].name} and {found[1].name} both have {PARTS[0]}: give one of them as root")
    return found[0] if found else None


def _is_market(folder: Path) -> bool:
    return any((folder / part).is_dir() for part in PARTS)
