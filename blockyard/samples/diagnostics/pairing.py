"""Pairing: four digits in two colours; each has to say which digit its partner of the same colour is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blockyard.datamodules.segmentation.masks import IGNORE
from blockyard.samples.diagnostics.material import SIDE, Digits14, Pixels, Random, hue, to_pixels, write_masks

CANVAS = 48
PLACES = ((0, 0), (0, 32), (32, 0), (32, 32))
"""Corners where digits are, apart by more than a position of the last map sees."""
KINDS = 4
"""Digits that occur, from zero."""
WOBBLE = 3
"""Positions along an axis that a digit may have in its corner."""


def write_pairing(root: Path, train: int = 2000, val: int = 100, test: int = 500, seed: int = 0) -> None:
    """Write canvases of two pairs of real digits; the hues of the pairs are opposite, any two opposite ones.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_masks`.
    """
    recipe = {"generator": "pairing", "seed": seed}
    classes = [str(digit) for digit in range(KINDS)]
    write_masks(root, recipe, {"train": train, "val": val, "test": test}, classes, _draw)


def _draw(random: Random, digits: Digits14) -> tuple[Pixels, Pixels]:
    canvas = np.zeros((CANVAS, CANVAS, 3), np.float32)
    mask = np.full((CANVAS, CANVAS), IGNORE, np.uint8)
    order, angle = random.permutation(len(PLACES)), random.random()
    for half, pair in enumerate((order[:2], order[2:])):
        drawn = [digits.draw(random, int(random.integers(KINDS))) for _ in pair]
        for place, own, partner in zip(pair, drawn, drawn[::-1], strict=True):
            top, left = PLACES[place] + random.integers(WOBBLE, size=2)
            part = slice(top, top + SIDE), slice(left, left + SIDE)
            canvas[part] = own.strokes[..., None] * hue(angle + half / 2)
            mask[part] = partner.label
    return to_pixels(255 * canvas), mask
