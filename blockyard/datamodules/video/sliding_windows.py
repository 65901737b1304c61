"""A picture of any size as a clip: as many windows of one size, which overlap as its size asks for (VOTCSW).

Variably overlapping time-coherent sliding windows, Multimedia Tools and Applications 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.media.picture_files import Pixels


@dataclass(frozen=True)
class SlidingWindows:
    """Rows of windows, passed in turn from left to right and back, so that each overlaps the one before it.

    Of the paper the abstract alone was read: windows of a fixed size, whose overlap is chosen so that pictures of all
    sizes give as many, and which are adjacent and move smoothly. The rest is our choice: windows lie in rows, spread
    evenly, each row is passed the other way than the last one, and pictures that so many windows can't cover with an
    overlap of a pixel at least, or that are smaller than a window, are resized first.

    Args:
        size: Height and width of a window.
        rows: Rows of windows.
        columns: Windows of a row.

    Raises:
        ValueError: If a number is not positive, or ``size`` is 1, where nothing overlaps.
    """

    size: int
    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.size < 2 or min(self.rows, self.columns) < 1:
            raise ValueError(
                f"size={self.size} must be at least 2, rows={self.rows} and columns={self.columns} at least 1"
            )

    @property
    def frames(self) -> int:
        """Windows of a picture, whatever its size."""
        return self.rows * self.columns

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width that windows can cover, where neighbours share a line of pixels and no more."""
        return self.size + (self.rows - 1) * (self.size - 1), self.size + (self.columns - 1) * (self.size - 1)

    def fitting(self, height: int, width: int) -> tuple[int, int]:
        """The size that a picture is resized to: its own, if windows can cover it and are no larger.

        Its proportions stay as far as they can: a side is a window's at least, and at most what windows cover.
        """
        factor = max(1.0, self.size / min(height, width))
        if factor == 1:
            factor = min(1.0, *(most / side for most, side in zip(self.largest, (height, width), strict=True)))
        rounded = (round(factor * height), round(factor * width))
        sides = [min(max(side, self.size), most) for side, most in zip(rounded, self.largest, strict=True)]
        return sides[0], sides[1]

    def places(self, height: int, width: int) -> NDArray[np.int64]:
        """Top and left of each window of a picture of a fitting size, in turn: ``(frames, 2)``."""
        tops, lefts = self._starts(height, self.rows), self._starts(width, self.columns)
        ways = (lefts, lefts[::-1])
        return np.array([(top, left) for row, top in enumerate(tops) for left in ways[row % 2]], np.int64)

    def cut(self, picture: Pixels) -> Pixels:
        """The windows of a picture ``(H, W, C)``, ``(frames, size, size, C)``; it is resized first if it has to be."""
        height, width = self.fitting(*picture.shape[:2])
        if (height, width) != picture.shape[:2]:
            shrinks = height * width < picture.shape[0] * picture.shape[1]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            resized = cv2.resize(picture, (width, height), interpolation=how)
            picture = np.asarray(resized, np.uint8).reshape(height, width, -1)
        side = self.size
        return np.stack([picture[top : top + side, left : left + side] for top, left in self.places(height, width)])

    def _starts(self, length: int, count: int) -> list[int]:
        """Where windows along one axis start: evenly spread from end to end."""
        return [number * (length - self.size) // max(count - 1, 1) for number in range(count)]
