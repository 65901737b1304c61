"""Drawings and numbers of landscapes."""

from __future__ import annotations

import io
import json

from PIL import Image

from blockyard.analysis.landscape import Landscape
from blockyard.analysis.landscape_drawing import draw_steps, draw_training, numbers, to_json

FLAT = Landscape(2.0, 0.0, (0.1, 0.2), (2.0, 2.0), (0.0, 0.0))
STEEP = Landscape(2.0, 4.0, (0.1, 0.2), (1.0, float("inf")), (0.8, float("nan")))


def test_numbers_are_those_of_the_landscape_and_null_where_they_are_not_finite():
    (row,) = json.loads(to_json([{"batch": 1, **numbers(STEEP)}]))
    assert row["losses"] == [1.0, None]
    assert row["gradient_changes"] == [0.8, None]
    assert (row["batch"], row["loss"], row["lipschitz"]) == (1, 2.0, None)
    assert numbers(FLAT)["smoothness"] == 0


def test_drawings_are_pictures_also_of_what_is_flat_or_endless():
    for drawn in (draw_steps({"a": FLAT, "b": STEEP}), draw_training({"a": {0: FLAT, 5: STEEP}, "b": {0: FLAT}})):
        with Image.open(io.BytesIO(drawn)) as picture:
            assert picture.format == "PNG"
