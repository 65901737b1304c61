"""Which pictures of people a data set is to have, and the lists that go with them, in three published layouts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DISTRACTOR, JUNK = 0, -1
MARKET = "Market-1501-v15.09.15"


@dataclass(frozen=True)
class Shot:
    """What one camera sees of one person at one time.

    Attributes:
        person: Number of the person, the same wherever that person is seen.
        camera: From 1.
        number: Of this camera's shots of the person, from 1.
        files: Where its frames go, in order of time.
        identity: Number that the data set gives the person: distractors share 0, and junk is -1.
    """

    person: int
    camera: int
    number: int
    files: tuple[str, ...]
    identity: int


@dataclass(frozen=True)
class Cast:
    """How many people are seen how often.

    Attributes:
        train: People to train on, numbered from 1.
        test: People to test on, numbered on from there.
        cameras: Cameras, each of which sees everyone.
        shots: How often a camera sees a person.
        frames: Fewest and most frames of a shot.
        seed: Of the lengths.
    """

    train: int
    test: int
    cameras: int
    shots: int
    frames: tuple[int, int]
    seed: int

    def views(self, people: Sequence[int], cameras: Sequence[int]) -> list[tuple[int, int, int, int]]:
        """Person, camera, number and length of each shot."""
        random = np.random.default_rng([self.seed, 1])
        return [
            (person, camera, number, int(random.integers(*self.frames, endpoint=True)))
            for person in people
            for camera in cameras
            for number in range(1, self.shots + 1)
        ]

    @property
    def strangers(self) -> range:
        """Numbers of people who are distractors, a quarter as many as are tested on."""
        people = self.train + self.test
        return range(people + 1, people + 1 + -(-self.test // 4))

    def everyone(self) -> list[tuple[int, int, int, int]]:
        """The shots of all people, and of the strangers in one camera each."""
        views = self.views(range(1, self.train + self.test + 1), range(1, self.cameras + 1))
        for person in self.strangers:
            views += self.views([person], [1 + person % self.cameras])
        return views


def plan_market(cast: Cast) -> list[Shot]:
    """Market-1501: one query of each person and camera, the first frame of the first shot."""
    shots, seen = [], 0
    for person, camera, number, frames in cast.everyone():
        stranger = person in cast.strangers
        title = f"{0 if stranger else person:04d}_c{camera}s{number}"
        # Strangers are all called 0000: their frames are numbered through.
        numbers = [25 * (seen + frame) for frame in range(1, frames + 1)]
        seen += frames if stranger else 0
        part = "bounding_box_train" if person <= cast.train else "bounding_box_test"
        files = [f"{MARKET}/{part}/{title}_{frame:06d}_01.jpg" for frame in numbers]
        if person > cast.train and number == 1 and not stranger:
            files[0] = f"{MARKET}/query/{title}_{numbers[0]:06d}_00.jpg"
        shots.append(Shot(person, camera, number, tuple(files), DISTRACTOR if stranger else person))
    return shots


def plan_mars(cast: Cast) -> list[Shot]:
    """MARS: everyone's shots, and strangers', are tracklets; number 0000 has those of all strangers."""
    shots: list[Shot] = []
    for count, (person, camera, number, frames) in enumerate(cast.everyone(), start=1):
        stranger = person in cast.strangers
        title = f"{0 if stranger else person:04d}"
        part = "bbox_train" if person <= cast.train else "bbox_test"
        stem = f"mars/{part}/{title}/{title}C{camera}T{count if stranger else number:04d}F"
        files = tuple(f"{stem}{frame:03d}.jpg" for frame in range(1, frames + 1))
        shots.append(Shot(person, camera, number, files, DISTRACTOR if stranger else person))
    return shots


def plan_prid(cast: Cast) -> list[Shot]:
    """PRID-2011: everyone has one tracklet in each of two cameras; strangers are in one alone, with numbers above."""
    shots = []
    for person, camera, number, frames in cast.everyone():
        title = 200 + person if person in cast.strangers else person
        folder = f"prid2011/prid_2011/multi_shot/cam_{'ab'[camera - 1]}/person_{title:04d}"
        files = tuple(f"{folder}/{frame:04d}.png" for frame in range(1, frames + 1))
        shots.append(Shot(person, camera, number, files, title))
    return shots


def finish_market(folder: Path, cast: Cast, shots: Sequence[Shot]) -> None:
    """Market-1501 has no lists."""


def finish_mars(folder: Path, cast: Cast, shots: Sequence[Shot]) -> None:
    """Write the names, the tables and the queries, the first tracklet of each person tested in each camera."""
    from scipy.io import savemat

    info = folder / "mars" / "info"
    info.mkdir()
    for part, chosen in (
        ("train", [shot for shot in shots if shot.person <= cast.train]),
        ("test", sorted((shot for shot in shots if shot.person > cast.train), key=lambda shot: shot.identity)),
    ):
        names = [file.rpartition("/")[2] for shot in chosen for file in shot.files]
        (info / f"{part}_name.txt").write_bytes("".join(f"{name}\r\n" for name in names).encode())
        ends = np.cumsum([len(shot.files) for shot in chosen])
        rows = [
            (end - len(shot.files) + 1, end, shot.identity, shot.camera)
            for shot, end in zip(chosen, ends.tolist(), strict=True)
        ]
        savemat(info / f"tracks_{part}_info.mat", {f"track_{part}_info": np.array(rows, dtype=np.int32)})
        query = [row for row, shot in enumerate(chosen, start=1) if shot.identity > 0 and shot.number == 1]
    savemat(info / "query_IDX.mat", {"query_IDX": np.array([query], dtype=np.uint16)})


def finish_prid(folder: Path, cast: Cast, shots: Sequence[Shot]) -> None:
    """Write ten splits, with the asked number of people to train on."""
    random = np.random.default_rng([cast.seed, 2])
    people: NDArray[np.int64] = np.arange(1, cast.train + cast.test + 1)
    splits = []
    for _ in range(10):
        order = [f"person_{number:04d}" for number in random.permutation(people).tolist()]
        splits.append({"train": sorted(order[: cast.train]), "test": sorted(order[cast.train :])})
    (folder / "prid2011" / "splits_prid2011.json").write_text(json.dumps(splits))


Plan = Callable[[Cast], list[Shot]]
Finish = Callable[[Path, Cast, Sequence[Shot]], None]
LAYOUTS: dict[str, tuple[Plan, Finish]] = {
    "market1501": (plan_market, finish_market),
    "mars": (plan_mars, finish_mars),
    "prid2011": (plan_prid, finish_prid),
}
"""What is to be filmed in each layout, and what is written when that is done."""
