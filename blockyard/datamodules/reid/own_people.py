"""People as anybody has them, by name: any number of cameras, or nothing that says which camera saw whom."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from numpy.typing import NDArray

from blockyard.datamodules.base import STAGES
from blockyard.datamodules.images import ImageFiles
from blockyard.datamodules.picture_survey import survey_pictures
from blockyard.datamodules.reid.base import PersonDataModule
from blockyard.datamodules.reid.sightings import (
    ONE_CAMERA,
    Positions,
    Retrieval,
    Sightings,
    any_match,
    hold_out_identities,
    seen_in_two,
)
from blockyard.datamodules.suggesting import Choice, Suggestion
from blockyard.datamodules.tables import sorted_labels
from blockyard.mistakes import DataError

Part = Literal["train", "val", "query", "gallery", "test"]
NAMED = 3
"""A message names so many people."""
SIXTEEN, EACH = 16, 4
"""People in a batch at most, and pictures of each."""


class Row(NamedTuple):
    """A picture or a tracklet.

    Attributes:
        frames: Its files, in order of time.
        name: What it is called.
        person: Who it shows.
        camera: What took it; empty if nothing says.
        tracklet: Pictures of one are much alike; empty if nothing says.
    """

    frames: Sequence[str]
    name: str
    person: str
    camera: str = ""
    tracklet: str = ""


class OwnPeople(PersonDataModule):
    """People whose names a subclass tells in :meth:`list_rows`.

    The test is ``query`` against ``gallery``; where there are neither, it is ``test``, in which the first sighting of
    everyone in each camera is asked for and all is searched. People are numbered anew in each part; who is trained on
    can't be tested on.

    As everywhere, what the query's own camera saw of a person never counts. **Where there is one camera**, or none is
    named, that would leave nobody to be found: then a query is looked for in all other pictures, or where tracklets are
    told in all other tracklets. That is easier than across cameras, and is said.

    Args:
        root: Folder of the data.
        options: Those of :class:`~blockyard.datamodules.reid.base.PersonDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    numbered_apart = True
    names_cameras: ClassVar[str]
    """What would say which camera took a picture, for messages."""

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root)
        self._listed: dict[Part, list[Row]] = {}

    @abstractmethod
    def list_rows(self, part: Part) -> list[Row]:
        """List a part of the data; nothing if they have no such part.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    def rows(self, part: Part) -> list[Row]:
        """A part of the data, listed on first use."""
        if part not in self._listed:
            self._listed[part] = self.list_rows(part)
        return self._listed[part]

    def suggest(self, weights: bool) -> Suggestion:
        """Size and batches that the pictures to train on speak for."""
        kept = self._held_out[0]
        found = survey_pictures(ImageFiles([Path(frames[0]) for frames in kept.frames]))
        people, samples = self.num_classes, len(kept)
        height, why = (256, "as trained weights were fine-tuned") if weights else (128, "enough to tell clothes")
        together = min(SIXTEEN, 1 << (people.bit_length() - 1))
        options = {
            "size": Choice([height, height // 2], f"{why}; the pictures have {found.height}×{found.width} pixels"),
            "pad": Choice(height // 26, "people are cut out a little beside the middle"),
            "erase": Choice(0.5, "half of the pictures lose a part, so that no detail decides alone"),
            "instances": Choice(EACH, "pictures of each person in a batch, so that there are pairs to compare"),
            "flip": Choice(True, "the mirror image of a person is that person"),
            **found.normalisation(weights),
            "batch_size": Choice(EACH * together, f"{EACH} pictures each of {together} people, of {people}"),
        }
        return Suggestion(f"{samples:,} pictures of {people} people to train on; {found}", options)

    @abstractmethod
    def expected(self) -> str:
        """Where training is looked for, for messages."""

    @property
    def tells_classes(self) -> bool:
        """Whether there is somebody to train on."""
        return bool(self.rows("train"))

    def training(self) -> Sightings:
        """Everybody in ``train``.

        Raises:
            DataError: If there are not two people.
        """
        rows = self.rows("train")
        people = sorted({row.person for row in rows})
        if not people:
            raise DataError(f"{self.root}: nobody to train on: {self.expected()}")
        if len(people) == 1:
            raise DataError(f"{self.root}: {people[0]} is the only person to train on; it takes two, to tell apart")
        return self._sightings(rows)

    def testing(self) -> Retrieval:
        """``query`` against ``gallery``, or ``test`` against itself.

        Raises:
            DataError: If there is neither, or both; if somebody in them was trained on; if nobody can be found.
        """
        query, gallery, test = self.rows("query"), self.rows("gallery"), self.rows("test")
        if test and (query or gallery):
            raise DataError(f"{self.root}: a test is either query and gallery, or test: here are both")
        rows = [*query, *gallery, *test]
        if not rows:
            raise DataError(
                f"{self.root}: nobody to test on: query and gallery, or test, is where people are looked for"
            )
        trained = {row.person for part in ("train", "val") for row in self.rows(part)}
        if both := sorted(trained & {row.person for row in rows}):
            raise DataError(
                f"{self.root}: {len(both)} people are in training and in test, as {both[0]}: a test is of others"
            )
        pool = self._sightings(rows)
        positions = np.arange(len(pool))
        sides = self.divide(pool) if test else (positions[: len(query)], positions[len(query) :])
        return self._checked(Retrieval(pool, *sides, self._protocol(rows)), self.root)

    def divide(self, pool: Sightings) -> tuple[Positions, Positions]:
        """The first sighting of everyone in each camera, of those whom two cameras saw, against everything.

        So everyone asked for is there to be found, even with one picture a person and camera.
        """
        pairs = np.stack([pool.identities, pool.cameras], axis=1)
        first = np.sort(np.unique(pairs, axis=0, return_index=True)[1])
        return first[np.isin(pool.identities[first], seen_in_two(pool))], np.arange(len(pool))

    def setup(self, stage: str) -> None:
        """Read what a stage needs, and say what was decided about it.

        Raises:
            DataError: If something is missing or is not what it should be.
        """
        super().setup(stage)
        for split in STAGES[stage]:
            for remark in self.remarks(split):
                rank_zero_warn(remark)

    def remarks(self, split: str) -> Iterator[str]:
        """How many people were held out for validation, and whether there are cameras to look in."""
        parts: dict[str, tuple[Part, ...]] = {"val": ("val",), "test": ("query", "gallery", "test")}
        rows = [row for part in parts.get(split, ()) for row in self.rows(part)]
        if split == "val" and not rows and len(self._held_out[1]):
            rows = self._carved
            yield f"val: {held_out(rows, self.num_classes, 'val_identities', self.val_identities)}; 0 trains on all"
        if rows and _one_camera(rows):
            unnamed = f"no camera is named, one is assumed ({self.names_cameras} would name it)"
            said = f"all is from camera {rows[0].camera}" if rows[0].camera else unnamed
            yield f"{split}: {said}: people are looked for in all other pictures, which is easier than across cameras"

    @cached_property
    def _held_out(self) -> tuple[Sightings, Sightings]:
        """Who is trained on, and ``val`` or else who is held out for it."""
        training, rows = self.training(), self.rows("val")
        if rows:
            if both := sorted({row.person for row in rows} & {row.person for row in self.rows("train")}):
                raise DataError(f"{self.root}: {len(both)} people are in train and in val, as {both[0]}")
            return training, self._sightings(rows)
        return hold_out_identities(training, self.val_identities, self._seen(self.rows("train")))

    def _seen(self, rows: Sequence[Row]) -> str:
        """What a message says of people who can be found again."""
        return "have two pictures" if _one_camera(rows) else "were seen by two cameras"

    @property
    def _carved(self) -> list[Row]:
        held = set(self._held_out[1].names)
        return [row for row in self.rows("train") if row.name in held]

    def _validation(self) -> Retrieval:
        held = self._held_out[1]
        rows = self.rows("val") or self.rows("train")
        place = f"the {len(held)} sightings of val"
        retrieval = Retrieval(held, *self.divide(held), self._protocol(rows))
        return self._checked(retrieval, place) if len(held) else retrieval

    def _checked(self, retrieval: Retrieval, place: object) -> Retrieval:
        sides = retrieval.query, retrieval.gallery
        if retrieval.protocol == ONE_CAMERA and all(map(len, sides)) and not any_match(retrieval.pool, *sides):
            raise DataError(f"{place}: nobody asked for has another picture in the gallery: nothing could be scored")
        return retrieval.check(place)

    def _sightings(self, rows: Sequence[Row]) -> Sightings:
        people = {name: number for number, name in enumerate(sorted_labels((r.person for r in rows), self.root), 1)}
        identities = np.array([people[row.person] for row in rows], dtype=np.int64)
        return Sightings([row.frames for row in rows], [row.name for row in rows], identities, self._views(rows))

    def _views(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """Of each row, the number of its camera; where there is one, a number of its own or of its tracklet."""
        if _one_camera(rows):
            labels = [f"{row.person}/{row.tracklet}" if row.tracklet else row.name for row in rows]
            return np.unique(labels, return_inverse=True)[1].astype(np.int64)
        numbers = {camera: place for place, camera in enumerate(sorted_labels((r.camera for r in rows), self.root))}
        return np.array([numbers[row.camera] for row in rows], dtype=np.int64)

    def _protocol(self, rows: Sequence[Row]) -> str:
        return ONE_CAMERA if _one_camera(rows) else "across cameras"


def held_out(rows: Sequence[Row], stay: int, option: str, value: int | None) -> str:
    """How many people were held out, by which option, of how many: ``stay`` is the number of the others."""
    names = sorted({row.person for row in rows})
    told = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    how = "null, a tenth, at least two" if value is None else value
    return f"{len(names)} of {len(names) + stay} people are held out: {told}, by {option}={how}"


def _one_camera(rows: Sequence[Row]) -> bool:
    return len({row.camera for row in rows}) < 2
