"""Product: two digits over each other, each lighter or darker than the ground: are their signs the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from blockyard.samples.diagnostics.material import (
    GREY,
    SIDE,
    Digits14,
    Pixels,
    Random,
    to_pixels,
    write_folders,
)
from blockyard.samples.voc_layout import save_picture

CANVAS = 24
CLASSES = {1: "same", -1: "opposite"}
"""By the product of the two signs."""


def write_product(root: Path, train: int = 1500, val: int = 50, test: int = 250, seed: int = 0) -> None:
    """Write pictures whose red shows one real digit and whose blue another, before grey, and their negatives.

    ``train``, ``val`` and ``test`` count pictures without their negatives. A negative has both signs turned, so the
    same product.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_folders`.
    """
    counts = {"train": train, "val": val, "test": test}
    write_folders(root, {"generator": "product", "seed": seed}, counts, _drawing, save_picture, ".png")


def _drawing(split: str) -> Callable[[Random], Iterator[tuple[str, Pixels]]]:
    return partial(_draw, Digits14(split))


def _draw(digits: Digits14, random: Random) -> Iterator[tuple[str, Pixels]]:
    values = np.zeros((CANVAS, CANVAS, 3), np.float32)
    signs = random.choice((-1, 1), 2)
    top, left = random.integers(CANVAS - SIDE + 1, size=2)
    for channel, sign in zip((0, 2), signs, strict=True):
        values[top : top + SIDE, left : left + SIDE, channel] = sign * digits.draw(random).strokes
    for turned in (1, -1):
        yield CLASSES[int(signs.prod())], to_pixels(GREY + GREY * turned * values)
