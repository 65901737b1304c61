"""PRID-2011, its tracklets, in its published layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

from blockyard.datamodules.matlab import read_table
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.reid.two_cameras import SPLITS, TwoCameras, halves, person_number, sort_frames
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["prid2011"].page
HINT = f"get prid_2011.zip from {PAGE} and unpack it in prid2011"
JSON, MAT = "splits_prid2011.json", "train_test_splits_prid.mat"
PERSON = re.compile(r"person_\d{4}")
IN_BOTH = 200
"""Up to this number, folders of one name in the two cameras show one person; beyond it, two different people."""
FEWEST = 27
"""Frames that both tracklets of a person must have."""


class PRID2011(TwoCameras):
    """PRID-2011 (Hirzer et al., SCIA 2011), the 178 people with at least 27 frames in both cameras.

    Read from ``root/prid2011/prid_2011/multi_shot/{cam_a,cam_b}/person_<dddd>/<dddd>.png`` and ten splits of 89 people
    to train on and 89 to test on: ``root/prid2011/splits_prid2011.json`` or, without it, the
    ``train_test_splits_prid.mat`` that comes with iLIDS-VID, put beside it. Arguments are those of
    :class:`~blockyard.datamodules.reid.two_cameras.TwoCameras`.
    """

    protocol = "prid2011-178"

    def people(self) -> tuple[list[str], list[str]]:
        """Folder names of the 89 people to train on and the 89 to test on."""
        people = self._long_enough()
        check_counts(self.root / "prid2011", {"people": len(people)}, {"people": 178}, self.verify)
        file = self.root / "prid2011" / JSON
        if file.is_file():
            return self._from_json(file, people)
        table = self.root / "prid2011" / MAT
        hint = f"one of {JSON}, as torchreid reads it, and {MAT}, which comes with iLIDS-VID, is needed"
        return halves(read_table(table, "ls_set", hint), self.official_split, people, table)

    def tracklet(self, person: str, camera: int) -> list[str]:
        """Frames of a person in a camera, by number."""
        folder = self._camera(camera) / person
        found: dict[int, str] = {}
        for path in sorted(folder.glob("*.png")):
            if not re.fullmatch(r"\d{4}", path.stem):
                raise DataError(f"{path}: a name such as 0001.png expected")
            found[int(path.stem)] = path.name
        return sort_frames(folder, found)

    def _camera(self, camera: int) -> Path:
        return self.root / "prid2011" / "prid_2011" / "multi_shot" / ("cam_a", "cam_b")[camera]

    def _long_enough(self) -> list[str]:
        first, second = (self._folders(camera) for camera in (0, 1))
        both = [person for person in first if person in second and person_number(person) <= IN_BOTH]
        if not both:
            raise DataError(f"{self._camera(1)}: nobody of {self._camera(0)} is in it")
        return [person for person in both if min(len(self.tracklet(person, camera)) for camera in (0, 1)) >= FEWEST]

    def _folders(self, camera: int) -> list[str]:
        if not (place := self._camera(camera)).is_dir():
            raise DataError(f"{place} is missing: {HINT}")
        names = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
        if bad := [name for name in names if not PERSON.fullmatch(name)]:
            raise DataError(f"{place / bad[0]}: a folder such as person_0001 expected")
        return names

    def _from_json(self, file: Path, people: list[str]) -> tuple[list[str], list[str]]:
        try:
            splits = json.loads(file.read_bytes())
            chosen = [{part: sorted(map(str, split[part])) for part in ("train", "test")} for split in splits]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{file}: a list of splits, each with 'train' and 'test', expected") from error
        if len(chosen) != SPLITS:
            raise DataError(f"{file}: {SPLITS} splits expected, found {len(chosen)}")
        train, test = (chosen[self.official_split][part] for part in ("train", "test"))
        if sorted(train + test) != people or not train or not test:
            raise DataError(
                f"{file}: split {self.official_split} must divide the {len(people)} people with {FEWEST} frames "
                "in both cameras"
            )
        check_counts(file, {"people to train on": len(train)}, {"people to train on": 89}, self.verify)
        return train, test
