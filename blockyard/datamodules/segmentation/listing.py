"""Which pictures a split has, where they and their masks are, and the rule by which validation is carved out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.images import PICTURES
from blockyard.mistakes import DataError


@dataclass(frozen=True)
class Listing:
    """The pictures of a split and their masks, a file each, or no masks. Names are for people."""

    images: Sequence[Path]
    masks: Sequence[Path]
    names: Sequence[str]

    @classmethod
    def of_folder(cls, folder: Path) -> Listing:
        """The pictures below a folder at any depth, sorted by path, without masks.

        Raises:
            DataError: If there are none.
        """
        return cls.of_new(folder)

    @classmethod
    def of_new(cls, places: str | Path | list[str]) -> Listing:
        """The pictures of one file or folder, or of several, without masks.

        Raises:
            DataError: If one of them is missing, or a folder holds no picture.
        """
        found = PICTURES.find_new(places)
        return cls(found.paths, [], found.names)

    def take(self, rows: Iterable[int]) -> Listing:
        """The pictures at these positions."""
        rows = list(rows)
        masks = [self.masks[row] for row in rows] if self.masks else []
        return Listing([self.images[row] for row in rows], masks, [self.names[row] for row in rows])

    def join(self, other: Listing) -> Listing:
        """These pictures, then the others."""
        return Listing([*self.images, *other.images], [*self.masks, *other.masks], [*self.names, *other.names])


def hold_out_evenly(count: int, share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Hold a share out, at even distances: lists of pictures are sorted by year, place or kind of scene.

    It needs no random numbers, so it is the same everywhere for ever.

    Args:
        count: Pictures in the list.
        share: Share that is held out; at least one picture unless it is 0.

    Returns:
        Positions that stay and positions held out, both ascending.

    Raises:
        DataError: If none would stay.
    """
    held = max(1, round(share * count)) if share and count else 0
    if held and held >= count:
        raise DataError(f"there are {count} training pictures: {held} can't be held out for validation")
    positions = np.array([math.ceil((number + 1) * count / held) - 1 for number in range(held)], dtype=np.intp)
    return np.setdiff1d(np.arange(count), positions), positions


def require(files: Listing, how_to_get: Callable[[], str]) -> Listing:
    """The listing, if all its files are there.

    Args:
        files: What to look for.
        how_to_get: What to do about it, at the end of the complaint; only asked then, as it may check an archive.

    Raises:
        DataError: If some are missing; it names the first.
    """
    expected = [*files.images, *files.masks]
    missing = [path for path in expected if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(expected)} files are missing, the first is {missing[0]}: {how_to_get()}"
        )
    return files


def check_count(place: Path, count: int, published: int, strict: bool) -> None:
    """Compare a number of pictures with the published one.

    Args:
        place: The list or the folder that was counted.
        count: How many there are.
        published: How many there must be.
        strict: Whether to refuse, not to warn; none at all is always refused.

    Raises:
        DataError: If it is refused.
    """
    if count == published:
        return
    message = f"{place}: {count} pictures, not the published {published}"
    if strict or not count:
        raise DataError(f"{message}; verify=False reads other data in the same layout")
    warnings.warn(message, stacklevel=2)
