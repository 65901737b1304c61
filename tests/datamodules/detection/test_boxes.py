"""Boxes that are narrow, in pictures of any size: what is let through can be trained on."""

from __future__ import annotations

import numpy as np
import pytest
from albumentations.core.bbox_utils import convert_bboxes_to_albumentations

from blockyard.datamodules.detection.boxes import Boxes, checked_corners
from blockyard.mistakes import DataError


def passes(corners, size):
    try:
        return checked_corners(corners, size, "a")
    except DataError:
        return None


@pytest.mark.parametrize("side", [60, 501, 5_003, 60_001, 3_000_001])
def test_what_is_let_through_is_no_empty_box_in_single_precision(side):
    """albumentations divides float32 corners by the size of the picture and refuses what is then empty."""
    places = np.linspace(0, side - 1, 13)
    rows = [[x, 1, x + width, 30] for x in places for width in np.geomspace(1e-9, 10, 40)]
    known = [found for row in rows if (found := passes(row, (40, side)))]
    assert 0 < len(known) < len(rows)
    boxes = Boxes.of((corners, 0, False, None) for corners in known)
    assert boxes.corners.tolist() == known, "nothing is rounded after it was looked at"
    shares = convert_bboxes_to_albumentations(boxes.corners, "pascal_voc", (40, side), check_validity=True)
    assert (shares[:, 2:].astype(np.float32) > shares[:, :2].astype(np.float32)).all()
    assert (boxes.area > 0).all()


@pytest.mark.parametrize("corners", [[50, 10, 50 + 1e-6, 15], [500, 10, 500 + 1e-5, 15], [500, 10, 501, 10 + 1e-7]])
@pytest.mark.parametrize("size", [None, (600, 600)])
def test_a_box_narrower_than_its_corners_are_kept_is_empty(corners, size):
    with pytest.raises(DataError, match=r"the box from .* is empty: 0.001 pixels are the least along a side"):
        checked_corners(corners, size, "a")


def test_a_box_of_which_an_edge_leaves_nothing_lies_outside():
    with pytest.raises(DataError, match=r"lies outside its picture of 60×40 pixels"):
        checked_corners([60 - 1e-4, 5, 61, 20], (40, 60), "a")
    assert checked_corners([-1, 5, 61, 20], (40, 60), "a") == [0, 5, 60, 20]
