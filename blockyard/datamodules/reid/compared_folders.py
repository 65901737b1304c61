"""People in folders of the user's own, without labels: who of the gallery resembles the query?"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from blockyard.datamodules.folders import LeftOut, folders_in
from blockyard.datamodules.images import PICTURES
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.reid.sightings import Retrieval, Sightings
from blockyard.mistakes import DataError

Places = str | Path | list[str]
Finder = Callable[[Places], dict[str, list[str]]]
"""From a folder, or several, to the files of each sighting in it, by name."""


def find_stills(places: Places) -> dict[str, list[str]]:
    """Each picture below a folder, at any depth, sorted by path, or of several places; hidden files are passed over.

    Raises:
        DataError: If there are none.
    """
    found = PICTURES.find_new(places)
    return {name: [str(path)] for path, name in zip(found.paths, found.names, strict=True)}


def find_tracklets(places: Places) -> dict[str, list[str]]:
    """Each sub-folder of a folder, sorted by name, and the pictures in it in order of the numbers in their names.

    Raises:
        DataError: If there are none, one is empty, or several folders are given.
    """
    if isinstance(places, list) and len(places) != 1:
        raise DataError(f"{len(places)} folders of tracklets are given, but one is read, with a sub-folder a tracklet")
    folder = Path(places[0] if isinstance(places, list) else places)
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: it is where tracklets are read from")
    left = LeftOut()
    places = folders_in(folder, left, "the tracklets")
    if not places:
        raise DataError(f"{folder} holds no tracklet: one sub-folder a tracklet is expected, with its frames")
    found = {place: PICTURES.list_below(folder / place, left) for place in places}
    left.tell(folder, "tracklet")
    return {place: _in_order(listing) for place, listing in found.items()}


def compare_folders(query: Places | None, gallery: Places | None, find: Finder) -> Retrieval:
    """A query folder against a gallery folder; nobody is known, so each sighting counts as a person of its own.

    Args:
        query: What is asked for; seen by camera 0.
        gallery: What is searched; seen by camera 1.
        find: How either is listed.

    Raises:
        DataError: If a folder is not given, missing or empty.
    """
    if not query or not gallery:
        raise DataError(
            "prediction compares two folders: give both, --input DIR (query_folder) and --gallery DIR (gallery_folder)"
        )
    sides = [find(query), find(gallery)]
    found = [*sides[0].items(), *sides[1].items()]
    cameras = np.repeat([0, 1], [len(side) for side in sides])
    pool = Sightings([files for _, files in found], [name for name, _ in found], np.arange(len(found)), cameras)
    return Retrieval(pool, np.flatnonzero(cameras == 0), np.flatnonzero(cameras == 1), "folders")


def _in_order(listing: Listing) -> list[str]:
    return [str(path) for _, path in sorted(zip(listing.names, listing.paths, strict=True), key=_by_number)]


def _by_number(item: tuple[str, Path]) -> list[tuple[str, int]]:
    """Sorts 2.jpg before 10.jpg."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", item[0])]
