"""What iLIDS-VID and PRID-2011 share: one tracklet of everyone in each of two cameras, divided in ten ways."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.reid.base import TrackletDataModule
from blockyard.datamodules.reid.sightings import Positions, Retrieval, Sightings, camera_against_camera
from blockyard.mistakes import DataError

SPLITS = 10
Number = Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


class TwoCameras(TrackletDataModule):
    """People with one tracklet in each of two cameras: the first camera's are looked for among the second's.

    Half of the people are for training and half for testing, in ten published ways; results are the mean of the ten
    splits, each with a training of its own.

    Args:
        root: Folder of the data sets.
        split: Which of the ten, from 0.
        verify: Whether there must be as many people as were published. False reads other data in the same layout.
        options: Those of :class:`~blockyard.datamodules.reid.base.TrackletDataModule`.

    Raises:
        ValueError: If there is no such split, or a number is out of range.
    """

    protocol: str

    def __init__(self, root: str = "data", split: Number = 0, verify: bool = True, **options: Any) -> None:
        super().__init__(**options)
        if split not in range(SPLITS):
            raise ValueError(f"{type(self).__name__}: split={split} must be from 0 to {SPLITS - 1}")
        self.root = Path(root)
        self.official_split = split
        self.verify = verify

    @abstractmethod
    def people(self) -> tuple[list[str], list[str]]:
        """Folder names of the people to train on and to test on."""

    @abstractmethod
    def tracklet(self, person: str, camera: int) -> list[str]:
        """Frames of a person in a camera, in order of time."""

    def training(self) -> Sightings:
        """Both tracklets of everyone in the training half."""
        return self._both(self.people()[0])

    def testing(self) -> Retrieval:
        """The first camera against the second, for everyone in the other half."""
        pool = self._both(self.people()[1])
        return Retrieval(pool, *camera_against_camera(pool), self.protocol).check(self.root)

    def divide(self, pool: Sightings) -> tuple[Positions, Positions]:
        """As in the test."""
        return camera_against_camera(pool)

    def _both(self, people: Sequence[str]) -> Sightings:
        seen = [(person, camera) for person in people for camera in (0, 1)]
        return Sightings(
            [self.tracklet(person, camera) for person, camera in seen],
            [f"{person}/camera {camera + 1}" for person, camera in seen],
            np.array([person_number(person) for person, _ in seen]),
            np.array([camera for _, camera in seen]),
        )


def halves(table: NDArray[np.int64], split: int, people: Sequence[str], file: Path) -> tuple[list[str], list[str]]:
    """People to train on and to test on, from a table whose rows order all of them.

    Args:
        table: ``(10, n)``, places from 1 in the sorted list of people; the first half of a row is for testing.
        split: The row.
        people: The n people, sorted.
        file: What a message names.

    Raises:
        DataError: If a row is not an order of the people.
    """
    if table.shape != (SPLITS, len(people)) or (np.sort(table, axis=1) != np.arange(1, len(people) + 1)).any():
        raise DataError(f"{file}: {SPLITS} orders of the numbers 1 to {len(people)} expected, one for each person")
    order, half = [people[place - 1] for place in table[split].tolist()], len(people) // 2
    return sorted(order[half:]), sorted(order[:half])


def sort_frames(folder: Path, names: dict[int, str]) -> list[str]:
    """Paths of the frames of a tracklet, by their numbers.

    Raises:
        DataError: If there are none.
    """
    if not names:
        raise DataError(f"{folder} is an empty tracklet: it holds no frame")
    return [str(folder / names[number]) for number in sorted(names)]


def person_number(person: str) -> int:
    """The number in the name of a person's folder."""
    return int(person.removeprefix("person").removeprefix("_"))
