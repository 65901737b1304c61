"""A digit sees itself alone, and is asked for its partner of the same colour."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.samples.diagnostics.material import SIDE, digits
from blockyard.samples.diagnostics.pairing import CANVAS, KINDS, PLACES, WOBBLE, write_pairing

CORNERS = [np.s_[top : top + SIDE + WOBBLE - 1, left : left + SIDE + WOBBLE - 1] for top, left in PLACES]


def test_a_digit_sees_no_other(seen):
    for corner in CORNERS:
        asked = np.zeros((CANVAS, CANVAS), bool)
        asked[corner] = True
        within = seen(asked)
        assert [other for other in CORNERS if within[other].any()] == [corner]


def test_the_mask_names_the_partner(tmp_path, read):
    write_pairing(tmp_path, {"test": 20})
    for canvas, mask in zip(read(tmp_path / "images" / "test"), read(tmp_path / "masks" / "test"), strict=True):
        found = [_look(canvas[corner], mask[corner]) for corner in CORNERS]
        for place, (_, colour, named) in enumerate(found):
            others = [other for other in found if other is not found[place]]
            partner, *_ = min(others, key=lambda other: np.abs(other[1] - colour).max())
            assert named == partner.label
            assert partner.label < KINDS


def _look(part: np.ndarray, mask: np.ndarray):
    """The digit in a corner, its colour in units of its brightest channel, and what the mask asks there."""
    rows, columns = np.nonzero(mask != 255)
    assert (len(rows), len(set(mask[mask != 255]))) == (SIDE**2, 1)
    box = part[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(float)
    colour = box.max((0, 1))
    strokes = (box @ colour) / (colour @ colour)
    digit = min(digits("test"), key=lambda digit: np.abs(digit.strokes / digit.strokes.max() - strokes).max())
    return digit, colour / colour.max(), int(mask[rows[0], columns[0]])


@pytest.mark.parametrize("seed", [0, 1])
def test_all_pairings_occur(tmp_path, read, seed: int):
    """Which corners go together is drawn: all three ways occur."""
    write_pairing(tmp_path, {"test": 30}, seed)
    ways = set()
    for canvas in read(tmp_path / "images" / "test"):
        colours = [canvas[corner].astype(float).max((0, 1)) for corner in CORNERS]
        distances = [np.abs(colours[0] / colours[0].max() - colour / colour.max()).max() for colour in colours[1:]]
        ways.add(int(np.argmin(distances)))
    assert ways == {0, 1, 2}
