"""iLIDS-VID in its published layout."""

from __future__ import annotations

import re
from pathlib import Path

from blockyard.datamodules.matlab import read_table
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.reid.two_cameras import TwoCameras, halves, sort_frames
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["ilids_vid"].page
HINT = f"get iLIDS-VID.tar from {PAGE} and unpack it in ilids-vid"
LISTS = "train-test people splits/train_test_splits_ilidsvid.mat"
PERSON = re.compile(r"person\d{3}")


class ILIDSVID(TwoCameras):
    """iLIDS-VID (Wang et al., ECCV 2014): two tracklets, at an airport, of each of 300 people.

    Read from ``root/ilids-vid/i-LIDS-VID/sequences/{cam1,cam2}/person<ddd>/*.png`` and the ten splits of ``root/
    ilids-vid/train-test people splits/train_test_splits_ilidsvid.mat``, which count through the sorted folders: the
    numbers in their names have gaps. Arguments are those of
    :class:`~blockyard.datamodules.reid.two_cameras.TwoCameras`.
    """

    protocol = "ilids-vid"

    def people(self) -> tuple[list[str], list[str]]:
        """Folder names of the 150 people to train on and the 150 to test on."""
        first, second = (self._folders(camera) for camera in (0, 1))
        if alone := sorted(set(first) ^ set(second)):
            where = 2 if alone[0] in first else 1
            raise DataError(f"{self._sequences(where - 1)}: {alone[0]} is missing; everyone is in both cameras")
        check_counts(self.root / "ilids-vid", {"people": len(first)}, {"people": 300}, self.verify)
        file = self.root / "ilids-vid" / LISTS
        return halves(read_table(file, "ls_set", HINT), self.official_split, first, file)

    def tracklet(self, person: str, camera: int) -> list[str]:
        """Frames of a person in a camera, by number."""
        folder = self._sequences(camera) / person
        name = re.compile(rf"cam{camera + 1}_{person}_(\d+)\.png")
        found: dict[int, str] = {}
        for path in sorted(folder.glob("*.png")):
            if (field := name.fullmatch(path.name)) is None:
                raise DataError(f"{path}: a name such as cam{camera + 1}_{person}_00001.png expected")
            found[int(field[1])] = path.name
        return sort_frames(folder, found)

    def _sequences(self, camera: int) -> Path:
        return self.root / "ilids-vid" / "i-LIDS-VID" / "sequences" / f"cam{camera + 1}"

    def _folders(self, camera: int) -> list[str]:
        if not (place := self._sequences(camera)).is_dir():
            raise DataError(f"{place} is missing: {HINT}")
        names = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
        if bad := [name for name in names if not PERSON.fullmatch(name)]:
            raise DataError(f"{place / bad[0]}: a folder such as person001 expected")
        return names
