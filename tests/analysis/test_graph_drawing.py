"""Drawings are pictures that show what they are given."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from blockyard.analysis.graph_drawing import draw_maps, draw_response
from blockyard.analysis.graph_looking import Graph
from blockyard.analysis.graph_spectrum import Response


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_panel_for_each_query_and_a_row_for_each_picture():
    matrices = np.full((1, 4, 4), 0.25)
    graph, picture = Graph("layer1", matrices, (2, 2), (2, 2)), np.zeros((8, 8, 3), np.uint8)
    one, two = (pixels(draw_maps([("a", picture, graph)] * n, [(1, 1), (6, 2)])) for n in (1, 2))
    assert one.shape[1] == two.shape[1] == 720
    assert two.shape[0] == 2 * one.shape[0]
    assert pixels(draw_maps([("a", picture, graph)], [(1, 1)])).shape[1] == 480


def test_the_heat_is_where_the_weight_is():
    """All weight on the lower right quarter, in a picture without anything of its own."""
    matrices = np.zeros((1, 4, 4))
    matrices[:, :, 3] = 1
    graph, picture = Graph("layer1", matrices, (2, 2), (2, 2)), np.zeros((8, 8, 1), np.uint8)
    drawn = pixels(draw_maps([("a", picture, graph)], [(0, 0)])).sum(2)[:, 240:]
    rows, columns = np.nonzero((drawn > 300) & (drawn < 700))
    assert np.median(rows) > 0.5 * drawn.shape[0]
    assert np.median(columns) > 0.5 * drawn.shape[1]


def test_a_response_shows_curves_and_frequencies():
    frequency = np.linspace(0, 2, 11)
    values = np.outer(2 - frequency, np.ones(3))
    found = Response(frequency, values, values)
    with_two = draw_response("SNL", found, [("a", frequency), ("b", frequency / 2)])
    assert pixels(with_two).shape == (780, 660, 3)
    assert with_two != draw_response("SNL", found, [("a", frequency)])
