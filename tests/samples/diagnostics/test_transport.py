"""The framed digit is out of sight of what is asked, unless it is asked of the digit itself."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.samples.diagnostics.material import digits
from blockyard.samples.diagnostics.transport import ASKED, HEIGHT, WIDTH, write_transport

FEW = {"train": 6, "val": 2, "test": 3}
CUE = np.s_[:, : ASKED["near"][1]]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    root = tmp_path_factory.mktemp("transport")
    for distance in ASKED:
        write_transport(root / distance, distance, FEW)
    return root


@pytest.mark.parametrize("distance", ASKED)
def test_what_is_asked_sees_the_cue_only_if_near(seen, distance: str):
    columns = np.arange(WIDTH)
    asked = np.broadcast_to((columns >= ASKED[distance][0]) & (columns < ASKED[distance][1]), (HEIGHT, WIDTH))
    assert seen(asked)[CUE].any() == (distance == "near")


def test_distances_differ_in_the_masks_alone(roots, read):
    near, beyond, across = (read(roots / distance / "images") for distance in ASKED)
    assert (near == beyond).all()
    assert (near == across).all()
    masks = {distance: read(roots / distance / "masks") for distance in ASKED}
    for distance, (first, end) in ASKED.items():
        asked = masks[distance][:, :, first:end]
        assert (np.delete(masks[distance], np.s_[first:end], axis=2) == 255).all()
        assert (asked == asked[:, :1, :1]).all()
        assert (asked[:, 0, 0] == masks["near"][:, 0, 0]).all()


def test_the_mask_names_the_framed_digit(roots, read):
    """Of all digits of its split that look as the framed one does, one has the label of the mask."""
    canvases, masks = (read(roots / "near" / kind / "test") for kind in ("images", "masks"))
    for canvas, mask in zip(canvases, masks, strict=True):
        framed = canvas[1:-1, 1 : HEIGHT - 1, 0] / 255
        alike = {digit.label for digit in digits("test") if np.abs(digit.strokes - framed).max() < 0.003}
        assert alike == {int(mask[0, 0])}


def test_wrong_distance(tmp_path):
    with pytest.raises(ValueError, match="distance must be one of near, beyond, across, got 'far'"):
        write_transport(tmp_path / "x", "far")
