"""Transport: what a framed digit at the far left is, every asked position has to say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from blockyard.datamodules.segmentation.masks import IGNORE
from blockyard.samples.diagnostics.material import SIDE, Pixels, Random, draw_digit, to_pixels, write_samples
from blockyard.samples.voc_layout import save_mask, save_picture

HEIGHT, WIDTH = 16, 64
ASKED = {"near": (0, 16), "beyond": (32, 48), "across": (48, 64)}
"""Columns that are asked, by how far they are from the framed digit, whose columns are those of ``near``."""
ZONES = ((17, 40), (40, 64))
"""Columns that each of the two digits without a frame lies between."""
KINDS = 4
"""Digits that occur, from zero: of all ten, most blocks learn nothing in so short a training."""
SAMPLES = {"train": 3000, "val": 100, "test": 500}


def write_transport(root: Path, distance: str = "beyond", samples: Mapping[str, int] = SAMPLES, seed: int = 0) -> None:
    """Write canvases of three real digits, of which the framed one is asked for at some distance.

    The pictures are the same at every distance: only the masks differ.

    Raises:
        ValueError: If there is no such distance.
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_samples`.
    """
    if distance not in ASKED:
        raise ValueError(f"distance must be one of {', '.join(ASKED)}, got {distance!r}")
    recipe = {"generator": "transport", "distance": distance, "seed": seed}
    write_samples(root, recipe, samples, partial(_write, ASKED[distance]))


def _write(asked: tuple[int, int], folder: Path, split: str, name: str, random: Random) -> None:
    canvas = np.zeros((HEIGHT, WIDTH), np.float32)
    canvas[:, :HEIGHT] = 1
    cue = draw_digit(random, split, int(random.integers(KINDS)))
    canvas[1:-1, 1 : HEIGHT - 1] = cue.strokes
    for first, end in ZONES:
        top, left = random.integers(HEIGHT - SIDE + 1), random.integers(first, end - SIDE + 1)
        other = draw_digit(random, split, int(random.integers(KINDS)))
        canvas[top : top + SIDE, left : left + SIDE] = other.strokes
    mask: Pixels = np.full((HEIGHT, WIDTH), IGNORE, np.uint8)
    mask[:, slice(*asked)] = cue.label
    save_picture(folder / "images" / split / f"{name}.png", np.repeat(to_pixels(255 * canvas)[..., None], 3, 2))
    save_mask(folder / "masks" / split / f"{name}.png", mask)
