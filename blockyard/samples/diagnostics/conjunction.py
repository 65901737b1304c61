"""Conjunction: a zero or a one at the left, a zero or a one at the right: are they the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from blockyard.samples.diagnostics.material import SIDE, Digits14, Pixels, Random, to_pixels, write_folders
from blockyard.samples.voc_layout import save_picture

HEIGHT, WIDTH = 16, 64
ENDS = (0, WIDTH - SIDE - 6)
"""First columns where the digits may begin."""
WOBBLE = 6
"""Columns from there."""
CLASSES = ("different", "same")


def write_conjunction(root: Path, train: int = 600, val: int = 25, test: int = 150, seed: int = 0) -> None:
    """Write canvases of two real digits, in all four combinations of zero and one.

    ``train``, ``val`` and ``test`` count the four together.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_folders`.
    """
    counts = {"train": train, "val": val, "test": test}
    write_folders(root, {"generator": "conjunction", "seed": seed}, counts, _drawing, save_picture, ".png")


def _drawing(split: str) -> Callable[[Random], Iterator[tuple[str, Pixels]]]:
    return partial(_draw, Digits14(split))


def _draw(digits: Digits14, random: Random) -> Iterator[tuple[str, Pixels]]:
    for labels in product((0, 1), (0, 1)):
        canvas = np.zeros((HEIGHT, WIDTH), np.float32)
        for label, first in zip(labels, ENDS, strict=True):
            top, left = random.integers(HEIGHT - SIDE + 1), first + random.integers(WOBBLE)
            canvas[top : top + SIDE, left : left + SIDE] = digits.draw(random, label).strokes
        yield CLASSES[labels[0] == labels[1]], np.repeat(to_pixels(255 * canvas)[..., None], 3, 2)
