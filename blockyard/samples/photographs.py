"""Real photographs that ship inside ordinary packages, as backgrounds."""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.samples.packages import package_folder

Pixels = NDArray[np.uint8]

PLACES = (
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("pybullet_data", "roboschool/models_outdoor/stadium/stadium_grass.jpg"),
)


def read_photographs() -> list[Pixels]:
    """Read a palace, a flower and a lawn, each ``(H, W, 3)``, RGB.

    Raises:
        DataError: If a package they are in is not installed.
    """
    pictures = [cv2.imread(os.fspath(package_folder(package) / path), cv2.IMREAD_COLOR) for package, path in PLACES]
    return [np.asarray(picture, dtype=np.uint8)[..., ::-1] for picture in pictures]


def crop(random: np.random.Generator, photograph: Pixels, size: tuple[int, int]) -> Pixels:
    """A random part of a photograph, its hues turned and more or less out of focus.

    Args:
        random: Where all randomness comes from.
        photograph: ``(H, W, 3)``.
        size: Height and width of the result; its shape is that of the part.
    """
    sides = list(zip(photograph.shape, size, strict=False))
    scale = random.uniform(0.4, 0.9) * min(have / want for have, want in sides)
    height, width = (int(want * scale) for _, want in sides)
    top, left = (
        random.integers(have - want + 1) for have, want in zip(photograph.shape, (height, width), strict=False)
    )
    part = cv2.resize(photograph[top : top + height, left : left + width], size[::-1], interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(part, cv2.COLOR_RGB2HSV)
    colours[..., 0] = (colours[..., 0].astype(int) + random.integers(180)) % 180
    part = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)
    return np.asarray(cv2.GaussianBlur(part, (0, 0), random.uniform(0.1, 1.5)), dtype=np.uint8)


def shift(picture: Pixels, right: float, down: float) -> Pixels:
    """Shift by fractions of pixels, mirrored at the border."""
    matrix = np.array([[1, 0, right], [0, 1, down]], dtype=np.float64)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REFLECT), dtype=np.uint8)
