"""Transport: what a framed digit at the far left is, every asked position has to say."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from blockyard.datamodules.segmentation.masks import IGNORE
from blockyard.samples.diagnostics.material import SIDE, Digits14, Pixels, Random, to_pixels, write_masks

HEIGHT, WIDTH = 16, 64
ASKED = {"near": (0, 16), "beyond": (32, 48), "across": (48, 64)}
"""Columns that are asked, by how far they are from the framed digit, whose columns are those of ``near``."""
ZONES = ((17, 40), (40, 64))
"""Columns where each of the two digits without a frame may begin."""


def write_transport(
    root: Path, distance: str = "beyond", train: int = 3000, val: int = 100, test: int = 500, seed: int = 0
) -> None:
    """Write canvases of three real digits, of which the framed one is asked for at some distance.

    The pictures are the same at every distance: only the masks differ.

    Raises:
        ValueError: If there is no such distance.
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_masks`.
    """
    if distance not in ASKED:
        raise ValueError(f"distance must be one of {', '.join(ASKED)}, got {distance!r}")
    recipe = {"generator": "transport", "distance": distance, "seed": seed}
    counts = {"train": train, "val": val, "test": test}
    write_masks(root, recipe, counts, [str(digit) for digit in range(10)], partial(_draw, ASKED[distance]))


def _draw(asked: tuple[int, int], random: Random, digits: Digits14) -> tuple[Pixels, Pixels]:
    canvas = np.zeros((HEIGHT, WIDTH), np.float32)
    canvas[:, :HEIGHT] = 1
    cue = digits.draw(random)
    canvas[1:-1, 1 : HEIGHT - 1] = cue.strokes
    for first, end in ZONES:
        top, left = random.integers(HEIGHT - SIDE + 1), random.integers(first, end - SIDE + 1)
        canvas[top : top + SIDE, left : left + SIDE] = digits.draw(random).strokes
    mask = np.full((HEIGHT, WIDTH), IGNORE, np.uint8)
    mask[:, slice(*asked)] = cue.label
    return np.repeat(to_pixels(255 * canvas)[..., None], 3, 2), mask
