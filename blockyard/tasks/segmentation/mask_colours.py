"""Masks in colours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
IGNORED = 255
OPACITY = 0.6
"""Share of a mask's colour where it lies over a picture."""


def table(palette: Sequence[tuple[int, int, int]]) -> Pixels:
    """Colours ``(256, 3)`` of all values that a mask can hold; those that are no class are white."""
    colours = np.full((IGNORED + 1, 3), 255, np.uint8)
    colours[: len(palette)] = np.array(palette, np.uint8).reshape(-1, 3)
    return colours


def overlay(picture: Pixels, mask: Pixels, palette: Sequence[tuple[int, int, int]]) -> Pixels:
    """A picture, resized to its mask, with the mask's colours over it.

    Args:
        picture: ``(h, w, 3)``.
        mask: Labels ``(H, W)``.
        palette: Colours of the classes.
    """
    under = fitted(picture, mask.shape[:2]).astype(np.float32)
    return (OPACITY * table(palette)[mask] + (1 - OPACITY) * under).round().astype(np.uint8)


def fitted(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    """A picture ``(h, w, 3)`` at height and width ``size``; it is averaged where it shrinks."""
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    way = cv2.INTER_AREA if height * width < pixels.shape[0] * pixels.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=way), np.uint8)
