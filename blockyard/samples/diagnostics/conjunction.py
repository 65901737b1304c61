"""Conjunction: a zero or a one at the left, a zero or a one at the right: are they the same?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np

from blockyard.samples.diagnostics.material import (
    SIDE,
    Pixels,
    Random,
    draw_digit,
    save_labelled,
    to_pixels,
    write_samples,
)
from blockyard.samples.voc_layout import save_picture

HEIGHT, WIDTH = 16, 64
WOBBLE = 6
"""Columns where a digit may begin, from where it is farthest to the left."""
ENDS = (0, WIDTH - SIDE - WOBBLE)
"""Columns where the digits begin that are farthest to the left."""
CLASSES = ("different", "same")
SAMPLES = {"train": 600, "val": 25, "test": 150}
"""Of all four combinations of zero and one together."""


def write_conjunction(root: Path, samples: Mapping[str, int] = SAMPLES, seed: int = 0) -> None:
    """Write canvases of two real digits, in all four combinations of zero and one.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_samples`.
    """
    write_samples(root, {"generator": "conjunction", "seed": seed}, samples, _write)


def _write(folder: Path, split: str, name: str, random: Random) -> None:
    save_labelled(folder / split, name, _draw(split, random), ".png", save_picture)


def _draw(split: str, random: Random) -> Iterator[tuple[str, Pixels]]:
    for labels in product((0, 1), (0, 1)):
        canvas = np.zeros((HEIGHT, WIDTH), np.float32)
        for label, first in zip(labels, ENDS, strict=True):
            top, left = random.integers(HEIGHT - SIDE + 1), first + random.integers(WOBBLE)
            canvas[top : top + SIDE, left : left + SIDE] = draw_digit(random, split, label).strokes
        yield CLASSES[labels[0] == labels[1]], np.repeat(to_pixels(255 * canvas)[..., None], 3, 2)
