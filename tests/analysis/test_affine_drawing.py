"""Drawings of affine maps: a panel a class, a row a picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from blockyard.analysis.affine_drawing import Part, draw


def part(name: str, classes: int) -> Part:
    rng = np.random.default_rng(0)
    rows = {k: rng.normal(size=(8, 8)) for k in range(min(3, classes))}
    sums = dict.fromkeys(range(classes), (1.0, 0.75, 0.25))
    return Part(name, rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), rows, sums, rng.normal(size=(2, classes)))


def test_every_class_drawn_has_a_panel_and_every_picture_a_row():
    sizes = []
    for classes, count in ((2, 1), (4, 1), (4, 3)):
        drawn = draw([part(str(i), classes) for i in range(count)], [(1, 2), (3, 4)], ["cat", "dog"])
        with Image.open(io.BytesIO(drawn)) as picture:
            sizes.append(picture.size)
    assert sizes[0][0] < sizes[1][0]
    assert sizes[2] == (sizes[1][0], 3 * sizes[1][1])
