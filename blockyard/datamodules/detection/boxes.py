"""The boxes of a picture, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import DataError

BEYOND = 1.0
"""Pixels that a box may reach beyond its picture, where it is cut off: published boxes were rounded."""
LARGEST = 1e7
"""Pixels that no picture has along a side."""
LEAST = 1e-3
"""Pixels that a box has along each side at least."""
FINEST = 1e-6
"""Of a picture's longer side, what a box has along each side at least: float32 tells such shares of it apart."""


@dataclass(frozen=True)
class Boxes:
    """The objects of one picture.

    Attributes:
        corners: Left, top, right and bottom, float32 ``(n, 4)``, in pixels of the file.
        labels: Classes, int64 ``(n,)``.
        crowd: Of each, whether it need not be found, bool ``(n,)``: a crowd, or what is difficult.
        area: Of each, the pixels by which small and large are told apart, float32 ``(n,)``.
    """

    corners: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    area: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, rows: Iterable[tuple[Sequence[float], int, bool, float | None]]) -> Self:
        """The boxes of rows: corners, class, whether it is a crowd, and its area, None for that of the box."""
        known = list(rows)
        corners = np.array([row[0] for row in known], np.float32).reshape(-1, 4)
        sides = corners[:, 2:] - corners[:, :2]
        area = [side if row[3] is None else row[3] for row, side in zip(known, sides.prod(1), strict=True)]
        labels, crowd = np.array([row[1] for row in known], np.int64), np.array([row[2] for row in known], bool)
        return cls(corners, labels, crowd, np.array(area, np.float32))


def is_place(value: Any) -> bool:
    """Whether a value is a number that can be a place in a picture."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def is_whole(value: Any, below: float) -> TypeGuard[int]:
    """Whether a value is a whole number, no truth value, smaller than ``below`` either way."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < below


def stated_size(height: Any, width: Any, where: str) -> tuple[int, int] | None:
    """A picture's height and width as a file states them; None where one of them is None or 0, as for not known.

    Raises:
        DataError: If one is anything else than a number of pixels; one line.
    """
    for name, value in (("height", height), ("width", width)):
        if value is not None and not (is_whole(value, LARGEST) and value >= 0):
            said = f"a whole number of pixels expected, {LARGEST - 1:,.0f} at most, or none"
            raise DataError(f"{where}: {name} {value!r:.40}: {said}")
    return (height, width) if height and width else None


def checked_corners(corners: Sequence[Any], size: tuple[int, int] | None, where: str) -> list[float]:
    """Left, top, right and bottom of a box in float32, as they are or cut off at the picture's edge by a pixel at most.

    Args:
        corners: Four numbers.
        size: Height and width of the picture; None if that is not known yet.
        where: What to name in a complaint.

    Raises:
        DataError: If these are no finite numbers, or the box is empty or reaches beyond its picture; one line.
    """
    if len(corners) != 4 or not all(map(is_place, corners)):
        raise DataError(f"{where}: a box of four numbers expected, found {corners!r:.60}")
    left, top, right, bottom = np.array(corners, np.float32).tolist()  # as they are kept
    told = f"{where}: the box from ({left:g}, {top:g}) to ({right:g}, {bottom:g})"
    least = max(LEAST, FINEST * max(size or (0, 0)))
    if min(right - left, bottom - top) < least:
        raise DataError(f"{told} is empty: {least:g} pixels are the least along a side")
    if size is None:
        return [left, top, right, bottom]
    height, width = size
    if left < -BEYOND or top < -BEYOND or right > width + BEYOND or bottom > height + BEYOND:
        raise DataError(f"{told} reaches beyond its picture of {width}×{height} pixels")
    inside = [max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))]
    if min(inside[2] - inside[0], inside[3] - inside[1]) < least:
        raise DataError(f"{told} lies outside its picture of {width}×{height} pixels")
    return inside


@dataclass(frozen=True)
class BoxedListing:
    """The pictures of a split with their boxes, or without; names are for people.

    Attributes:
        images: Files.
        names: One a picture.
        boxes: Of each picture, in the same order; None where nobody knows them.
        sources: The file that each picture's boxes stand in.
        sizes: Height and width of each, as its annotations state it, None where they don't.
    """

    images: Sequence[Path]
    names: Sequence[str]
    boxes: Sequence[Boxes] | None = None
    sources: Sequence[Path] = ()
    sizes: Sequence[tuple[int, int] | None] = ()

    def take(self, rows: Iterable[int]) -> BoxedListing:
        """The pictures at these positions."""
        kept = list(rows)
        images, names = [self.images[row] for row in kept], [self.names[row] for row in kept]
        boxes = None if self.boxes is None else [self.boxes[row] for row in kept]
        sources, sizes = ([part[row] for row in kept] if part else [] for part in (self.sources, self.sizes))
        return BoxedListing(images, names, boxes, sources, sizes)  # type: ignore[arg-type]
