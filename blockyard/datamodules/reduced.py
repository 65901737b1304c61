"""Pictures that are decoded once it is known how much of them is kept: at a part of their size, if that is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import albumentations as A
import cv2
import numpy as np

from blockyard.media.picture_files import RIGHT_TO_LEFT, UPSIDE_DOWN, Pixels

REDUCTIONS = (8, 4, 2, 1)
"""By what libjpeg divides height and width with little work: it leaves out the higher frequencies of each 8×8 block."""
Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge."""
Read = Callable[[int], tuple[Pixels, int]]
"""Decodes a picture, its height and width divided by one of :data:`REDUCTIONS`, and tells its orientation tag."""


class Decoding(A.DualTransform):
    """The first step of a pipeline that is called with ``image`` ``(H, W, 0)``, a size without pixels, and ``read``.

    A mixin before the transform that it stands for, whose random numbers are drawn as ever. Without ``read`` it is that
    transform. With it, what is kept is resized by linear interpolation where it is less than twice as large as wanted,
    which is several times faster than averaging over areas.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Those of the transform, and how the picture is read."""
        return {**super().get_params_dependent_on_data(params, data), "read": data.get("read")}


class DecodingCrop(Decoding, A.RandomResizedCrop):
    """A random crop, of a picture that is decoded no larger than need be."""

    def apply(self, img: Pixels, crop_coords: Box, **params: Any) -> Pixels:
        """The crop, uint8 ``(*size, 3)``."""
        read: Read | None = params.pop("read")
        if read is None:
            return super().apply(img, crop_coords, **params)
        return _part(read, img.shape[:2], crop_coords, self.size)


class DecodingShortSide(Decoding, A.SmallestMaxSize):
    """A picture resized by its short side, decoded no larger than need be."""

    def apply(self, img: Pixels, scale: float, **params: Any) -> Pixels:
        """The picture, uint8 ``(H, W, 3)``, as large as if it had been decoded whole."""
        read: Read | None = params.pop("read")
        if read is None:
            return super().apply(img, scale, **params)
        height, width = img.shape[:2]
        size = max(1, round(height * scale)), max(1, round(width * scale))
        return _part(read, (height, width), (0, 0, width, height), size)


def _part(read: Read, whole: tuple[int, ...], box: Box, size: tuple[int, int]) -> Pixels:
    """What lies between the left, upper, right and lower edge, in pixels of the whole picture, as ``(*size, 3)``."""
    height, width = size
    left, top, right, bottom = box
    down, across = (bottom - top) / height, (right - left) / width
    reduction = next((reduction for reduction in REDUCTIONS if reduction <= min(down, across)), 1)
    pixels, tag = read(reduction)
    # The last pixel of a stored line stands for fewer than the others; some orientations turn it to the front.
    ahead = [less - full / reduction for less, full in zip(pixels.shape, whole, strict=False)]
    left, right = (edge / reduction + ahead[1] * (tag in RIGHT_TO_LEFT) for edge in (left, right))
    top, bottom = (edge / reduction + ahead[0] * (tag in UPSIDE_DOWN) for edge in (top, bottom))
    # Below twice the size the four neighbours that linear interpolation weighs leave no pixel out.
    near = max(down, across) < 2 * reduction
    if near and not all(edge.is_integer() for edge in (left, top, right, bottom)):
        across, down = (right - left) / width, (bottom - top) / height
        places = np.array([[across, 0, left + (across - 1) / 2], [0, down, top + (down - 1) / 2]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(pixels, places, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE))
    part = pixels[round(top) : round(bottom), round(left) : round(right)]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR if near else cv2.INTER_AREA))
