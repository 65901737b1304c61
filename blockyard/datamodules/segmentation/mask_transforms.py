"""What albumentations lacks for pictures with masks."""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import numpy as np
from albumentations.core.type_definitions import Targets
from numpy.typing import NDArray

from blockyard.datamodules.segmentation.masks import IGNORE

Array = NDArray[Any]
TRIES = 10
MOST = 128
"""Channels that OpenCV takes."""


class Rescale(A.DualTransform):
    """Resize a picture, its sides in proportion: bilinear, the mask by the nearest pixel.

    Args:
        frame: Longest and shortest side that the picture may have: it becomes as large as fits; None keeps its size.
        scale: Smallest and largest factor, drawn evenly, on top of that.
    """

    _targets = (Targets.IMAGE, Targets.MASK)

    def __init__(self, frame: tuple[int, int] | None, scale: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__(p=1.0)
        self.frame = frame
        self.scale = scale

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Height and width of the result."""
        sides = params["shape"][:2]
        factor = self.py_random.uniform(*self.scale)
        if self.frame is not None:
            factor *= min(max(self.frame) / max(sides), min(self.frame) / min(sides))
        return {"size": tuple(max(1, round(side * factor)) for side in sides)}

    def apply(self, img: Array, size: tuple[int, int], **params: Any) -> Array:
        """The picture ``(H, W, C)`` at ``size``."""
        return _resize(img, size, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: Array, size: tuple[int, int], **params: Any) -> Array:
        """The mask ``(H, W)`` at ``size``; OpenCV's plain "nearest" would shift it by up to half a pixel."""
        return _resize(mask, size, cv2.INTER_NEAREST_EXACT)


class CategoryCrop(A.DualTransform):
    """Cut a random window out, if possible one that is not all of one class.

    Of up to ten windows the first is taken that shows two classes at least, none of which covers ``largest_share`` of
    what is labelled; else the last. A picture smaller than the window stays smaller.

    Args:
        size: Height and width of the window.
        largest_share: Largest share of the labelled pixels that one class may cover; 1 takes any window.
    """

    _targets = (Targets.IMAGE, Targets.MASK)

    def __init__(self, size: tuple[int, int], largest_share: float = 0.75) -> None:
        super().__init__(p=1.0)
        self.size = size
        self.largest_share = largest_share

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """The window, as slices."""
        for _ in range(TRIES):
            window = self._window(params["shape"][:2])
            if self.largest_share >= 1:
                break
            counts = np.bincount(data["mask"][window].ravel(), minlength=IGNORE + 1)[:IGNORE]
            if np.count_nonzero(counts) > 1 and counts.max() < self.largest_share * counts.sum():
                break
        return {"window": window}

    def _window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        starts = [self.py_random.randint(0, max(have - want, 0)) for have, want in zip(shape, self.size, strict=True)]
        down, right = (slice(start, start + want) for start, want in zip(starts, self.size, strict=True))
        return down, right

    def apply(self, img: Array, window: tuple[slice, slice], **params: Any) -> Array:
        """The window of a picture ``(H, W, C)`` or a mask ``(H, W)``."""
        return np.ascontiguousarray(img[window])


class Mirror(A.HorizontalFlip):
    """Exchange left and right, also of pictures of more channels than OpenCV takes."""

    def apply(self, img: Array, **params: Any) -> Array:
        """The picture ``(H, W, C)`` or mask ``(H, W)``, mirrored."""
        if img.shape[-1] <= MOST or img.ndim == 2:
            return np.asarray(super().apply(img, **params))
        return np.ascontiguousarray(img[:, ::-1])


def photometric_distortion() -> list[A.BasicTransform]:
    """Brightness, contrast, saturation and hue, each changed at random in half of the pictures, as SSD did first."""
    still = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": (0.0, 0.0)}
    ranges = {"brightness": (0.875, 1.125), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-0.1, 0.1)}
    return [A.ColorJitter(**{**still, name: limits}, p=0.5) for name, limits in ranges.items()]


def _resize(array: Array, size: tuple[int, int], interpolation: int) -> Array:
    if array.shape[:2] == size:
        return array
    parts = [array] if array.ndim == 2 else np.split(array, range(MOST, array.shape[2], MOST), axis=2)
    resized = [cv2.resize(part, size[::-1], interpolation=interpolation) for part in parts]
    return np.concatenate([part.reshape(*size, -1) for part in resized], axis=2).reshape(*size, *array.shape[2:])
