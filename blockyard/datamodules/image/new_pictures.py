"""Pictures that a trained network has not seen: anybody's files, whatever state they are in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np

from blockyard.datamodules.images import ImageFiles, Images, Pixels
from blockyard.datamodules.listing import Listing
from blockyard.mistakes import DataError

NARROW = 32
"""Of a picture more than so many times as long as wide, what lies farther from its middle is cut off before it is
resized: a row of 10,000 pixels would become gigabytes, and the middle crop takes none of it."""


class PredictionFiles(ImageFiles):
    """Picture files as uint8 ``(H, W, channels)``.

    Args:
        paths: The files.
        channels: 3, or 1 for their brightness.
        bits: As of :class:`ImageFiles`.
    """

    def __init__(self, paths: Sequence[Path], channels: int = 3, bits: int | None = None) -> None:
        super().__init__(paths, bits)
        self.channels = channels

    def __getitem__(self, index: int) -> Pixels:  # type: ignore[override]
        """Decode one file.

        Raises:
            DataError: As :class:`ImageFiles`.
        """
        pixels = _middle(super().__getitem__(index))
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None] if self.channels == 1 else pixels  # type: ignore[return-value]

    def size(self, index: int) -> tuple[int, int] | None:
        """Height and width of a file that can be decoded smaller; None if it is narrow, or its brightness is read."""
        size = super().size(index) if self.channels == 3 else None
        return size if size and max(size) <= NARROW * min(size) else None


class NewPictures(Images):
    """Pictures for ``predict``; one that can't be read takes part with ``valid`` False, so that the others go on.

    Args:
        listing: The files.
        size: Height and width of the input.
        transform: albumentations pipeline that ends in pictures of that size; None resizes their short side to it and
            takes the middle.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
        bits: How many bits the values of files of more than 8 bits have; None means as many as the file has.
    """

    def __init__(
        self,
        listing: Listing,
        size: int,
        transform: A.Compose | None,
        mean: Sequence[float],
        std: Sequence[float],
        bits: int | None = None,
    ) -> None:
        if transform is None:
            shrink = A.SmallestMaxSize(size, interpolation=cv2.INTER_AREA)
            transform = A.Compose([shrink, A.CenterCrop(size, size)])
        super().__init__(PredictionFiles(listing.paths, len(mean), bits), None, listing.names, transform, mean, std)
        self._blank = np.zeros((size, size, len(mean)), np.uint8)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(H, W, C)``, and whether it is ``valid``."""
        try:
            return {**super().__getitem__(index), "valid": True}
        except DataError:
            return {"input": self._blank, "valid": False}

    def problem(self, position: int) -> str | None:
        """Why a picture can't be read, in one line; None if it can."""
        try:
            super().__getitem__(position)
        except DataError as error:
            return " ".join(str(error).split())
        return None


def _middle(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    longest = NARROW * min(height, width)
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return pixels[top : top + longest, left : left + longest]
