"""Product: two digits over each other, each lighter or darker than the ground: are their signs the same?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from blockyard.samples.diagnostics.material import (
    GREY,
    SIDE,
    Pixels,
    Random,
    draw_digit,
    save_labelled,
    to_pixels,
    write_samples,
)
from blockyard.samples.voc_layout import save_picture

CANVAS = 24
CLASSES = {1: "same", -1: "opposite"}
"""By the product of the two signs."""
SAMPLES = {"train": 1500, "val": 50, "test": 250}
"""Without their negatives."""


def write_product(root: Path, samples: Mapping[str, int] = SAMPLES, seed: int = 0) -> None:
    """Write pictures whose red shows one real digit and whose blue another, before grey, and their negatives.

    A negative has both signs turned, so the same product.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_samples`.
    """
    write_samples(root, {"generator": "product", "seed": seed}, samples, _write)


def _write(folder: Path, split: str, name: str, random: Random) -> None:
    save_labelled(folder / split, name, _draw(split, random), ".png", save_picture)


def _draw(split: str, random: Random) -> Iterator[tuple[str, Pixels]]:
    values = np.zeros((CANVAS, CANVAS, 3), np.float32)
    signs = random.choice((-1, 1), 2)
    top, left = random.integers(CANVAS - SIDE + 1, size=2)
    for channel, sign in zip((0, 2), signs, strict=True):
        values[top : top + SIDE, left : left + SIDE, channel] = sign * draw_digit(random, split).strokes
    for turned in (1, -1):
        yield CLASSES[int(signs.prod())], to_pixels(GREY + GREY * turned * values)
