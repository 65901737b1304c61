"""Who was seen by which camera in which files, and how sightings are divided into queries and a gallery."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import DataError

Positions = NDArray[np.intp]
JUNK = -1
"""Identity of what shows no person, or only a part of one."""
DISTRACTOR = 0
"""Identity of people whom nobody asks for."""
ONE_CAMERA = "one camera"
"""Protocol of data that name no camera, or one: each sighting then has a number of its own in place of its camera."""


@dataclass(frozen=True)
class Sightings:
    """Pictures or tracklets of people.

    Attributes:
        frames: Files of each, in order of time; of a picture there is one.
        names: One name each.
        identities: ``(n,)``, as the data set numbers them; no two persons of one split share a number.
        cameras: ``(n,)``, from 0.
    """

    frames: Sequence[Sequence[str]]
    names: Sequence[str]
    identities: NDArray[np.integer[Any]]
    cameras: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Sightings:
        """The sightings at these positions, or where a mask is true."""
        chosen: list[int] = (np.flatnonzero(rows) if rows.dtype == bool else rows).tolist()
        frames, names = [self.frames[row] for row in chosen], [self.names[row] for row in chosen]
        return Sightings(frames, names, self.identities[chosen], self.cameras[chosen])

    def __add__(self, other: Sightings) -> Sightings:
        return Sightings(
            [*self.frames, *other.frames],
            [*self.names, *other.names],
            np.concatenate([self.identities, other.identities]),
            np.concatenate([self.cameras, other.cameras]),
        )


@dataclass(frozen=True)
class Retrieval:
    """A pool of sightings, which of them are asked for, and which are searched.

    Attributes:
        pool: The sightings.
        query: ``(Q,)``, positions in the pool.
        gallery: ``(G,)``, positions in the pool; some protocols have the queries among them.
        protocol: What the rules are called.
    """

    pool: Sightings
    query: Positions
    gallery: Positions
    protocol: str

    def check(self, place: object) -> Retrieval:
        """Itself, if something can be searched for something.

        Args:
            place: What a message names.

        Raises:
            DataError: If there are no queries, no gallery, not two cameras, or no query that has a match.
        """
        for name, positions in (("queries", self.query), ("gallery", self.gallery)):
            if not len(positions):
                raise DataError(f"{place}: no {name} to test on")
        if len(cameras := np.unique(self.pool.cameras)) < 2:
            raise DataError(f"{place}: all is from camera {cameras[0] + 1}; a person is looked for in another camera")
        if not any_match(self.pool, self.query, self.gallery):
            raise DataError(f"{place}: nobody asked for is in the gallery by another camera: nothing could be scored")
        return self


def pictures(folder: Path, names: Sequence[str], identities: Sequence[int], cameras: Sequence[int]) -> Sightings:
    """Sightings of one picture each.

    Args:
        folder: Where they are.
        names: Paths below it.
        identities: As the data set numbers them.
        cameras: From 1, as on disk.
    """
    frames = [[os.path.join(folder, name)] for name in names]  # noqa: PTH118 - ten times as fast as Path
    return Sightings(frames, names, np.array(identities, dtype=np.int64), np.array(cameras, dtype=np.int64) - 1)


def any_match(pool: Sightings, query: Positions, gallery: Positions) -> bool:
    """Whether anybody asked for was seen by another camera in the gallery."""
    return any(_matched(pool, query, gallery))


def _matched(pool: Sightings, query: Positions, gallery: Positions) -> list[bool]:
    """Of each query, whether another camera saw the person in the gallery."""
    searched: dict[int, set[int]] = {}
    for identity, camera in zip(pool.identities[gallery].tolist(), pool.cameras[gallery].tolist(), strict=True):
        searched.setdefault(identity, set()).add(camera)
    asked = zip(pool.identities[query].tolist(), pool.cameras[query].tolist(), strict=True)
    return [bool(searched.get(identity, set()) - {camera}) for identity, camera in asked]


def one_query_per_camera(pool: Sightings) -> tuple[Positions, Positions]:
    """Positions of queries, the first sighting of each identity in each camera, and of the gallery, all others.

    Where that leaves fewer than half of them to be found, as with one sighting a person and camera, the gallery is
    everything: what the query's own camera saw of the person never counts.
    """
    pairs = np.stack([pool.identities, pool.cameras], axis=1)
    first = np.sort(np.unique(pairs, axis=0, return_index=True)[1])
    others = np.setdiff1d(np.arange(len(pool)), first)
    return first, others if 2 * sum(_matched(pool, first, others)) >= len(first) else np.arange(len(pool))


def camera_against_camera(pool: Sightings) -> tuple[Positions, Positions]:
    """Positions of queries, all sightings of the first camera, and of the gallery, those of the others."""
    return np.flatnonzero(pool.cameras == 0), np.flatnonzero(pool.cameras != 0)


def seen_in_two(sightings: Sightings) -> NDArray[np.integer[Any]]:
    """The identities that two cameras saw, ascending."""
    pairs = np.unique(np.stack([sightings.identities, sightings.cameras], axis=1), axis=0)
    identities, cameras = np.unique(pairs[:, 0], return_counts=True)
    return identities[cameras > 1]


def hold_out_identities(
    sightings: Sightings,
    count: int | None,
    seen: str = "were seen by two cameras",
    use: tuple[str, str] = ("val_identities", "validation; val_identities=0 trains without it"),
) -> tuple[Sightings, Sightings]:
    """Divide people by a fixed rule: the *last* identities that two cameras saw, by their numbers, are held out.

    Args:
        sightings: Those of the training split.
        count: Identities to hold out; None takes a tenth of all, at least two, at most those that two cameras saw.
        seen: What a message says of people who can be held out.
        use: The option that ``count`` is, and what they are held out for.

    Returns:
        What stays and what is held out.

    Raises:
        DataError: If two cameras saw too few, or fewer than two identities would stay.
    """
    identities, usable = np.unique(sightings.identities), seen_in_two(sightings)
    tenth = max(2, round(len(identities) / 10))
    count = max(2, min(tenth, len(usable))) if count is None else count
    said = f"can't be held out for {use[1]}"
    if count > len(usable):
        raise DataError(f"{len(usable)} of {len(identities)} training identities {seen}: {count} {said}")
    if count > len(identities) - 2:
        raise DataError(f"{count} of {len(identities)} training identities {said}: two must stay ({use[0]})")
    held = np.isin(sightings.identities, usable[len(usable) - count :])
    return sightings.take(~held), sightings.take(held)
