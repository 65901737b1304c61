"""Pairing: four digits in two colours; each has to say which digit its partner of the same colour is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from blockyard.datamodules.segmentation.masks import IGNORE
from blockyard.samples.diagnostics.material import SIDE, Array, Random, draw_digit, to_pixels, write_samples
from blockyard.samples.voc_layout import save_mask, save_picture

CANVAS = 45
PLACES = ((0, 0), (0, 30), (30, 0), (30, 30))
"""Corners where digits are, apart by more than a position of the last map sees."""
KINDS = 4
"""Digits that occur, from zero."""
WOBBLE = 2
"""Positions along an axis that a digit may have in its corner."""
SAMPLES = {"train": 2000, "val": 100, "test": 500}


def write_pairing(root: Path, samples: Mapping[str, int] = SAMPLES, seed: int = 0) -> None:
    """Write canvases of two pairs of real digits; the hues of the pairs are opposite, any two opposite ones.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_samples`.
    """
    write_samples(root, {"generator": "pairing", "seed": seed}, samples, _write)


def hue(angle: float) -> Array:
    """The colour ``(3,)``, 0 to 1, at an angle in turns; opposite angles are opposite colours."""
    return (0.5 + 0.5 * np.cos(2 * np.pi * (angle - np.arange(3) / 3))).astype(np.float32)


def _write(folder: Path, split: str, name: str, random: Random) -> None:
    canvas = np.zeros((CANVAS, CANVAS, 3), np.float32)
    mask = np.full((CANVAS, CANVAS), IGNORE, np.uint8)
    order, angle = random.permutation(len(PLACES)), random.random()
    for half, pair in enumerate((order[:2], order[2:])):
        drawn = [draw_digit(random, split, int(random.integers(KINDS))) for _ in pair]
        for place, own, partner in zip(pair, drawn, drawn[::-1], strict=True):
            top, left = PLACES[place] + random.integers(WOBBLE, size=2)
            part = slice(top, top + SIDE), slice(left, left + SIDE)
            canvas[part] = own.strokes[..., None] * hue(angle + half / 2)
            mask[part] = partner.label
    save_picture(folder / "images" / split / f"{name}.png", to_pixels(255 * canvas))
    save_mask(folder / "masks" / split / f"{name}.png", mask)
