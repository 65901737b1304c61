"""The best and the worst pictures of a segmentation's test."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.tasks.segmentation.cases import WRONG, Case, draw, extremes
from blockyard.tasks.segmentation.mask_colours import fitted, overlay, table

PALETTE = [(0, 0, 0), (128, 64, 128), (250, 170, 30)]


def pictures(*scores: float) -> dict[str, torch.Tensor]:
    return {"index": 10 + torch.arange(len(scores)), "mIoU": torch.tensor(scores)}


def test_the_worst_come_first_and_the_best_last():
    found = extremes(pictures(0.5, 0.1, 0.9, 0.3, 0.7), rows=2)
    assert [index for index, _ in found] == [11, 13, 14, 12]
    assert [score for _, score in found] == pytest.approx([0.1, 0.3, 0.7, 0.9])


def test_of_few_pictures_none_comes_twice():
    assert [index for index, _ in extremes(pictures(0.5, 0.1, 0.9), rows=2)] == [11, 10, 12]


def case(height: int = 4) -> Case:
    picture = np.full((height, 320, 3), 100, np.uint8)
    truth, predicted = np.zeros((height, 320), np.uint8), np.zeros((height, 320), np.uint8)
    truth[1:], predicted[2:], truth[-1] = 1, 1, 255
    return Case("one", picture, truth, predicted)


def test_error_is_red_and_what_is_ignored_white():
    *_, error = case().panels(PALETTE)
    assert [tuple(row) for row in error[:, 0]] == [(114, 114, 114), WRONG, (114, 114, 114), (255, 255, 255)]


def test_panels_are_of_one_size():
    assert {panel.shape for panel in case(37).panels(PALETTE)} == {(37, 320, 3)}


def test_picture():
    drawn = draw([case(200), case(300)], ["sky", "a$b_{$", "train"], PALETTE)  # no formula
    with Image.open(io.BytesIO(drawn)) as image:
        assert image.format == "PNG"


def test_overlay_is_at_the_size_of_the_mask():
    mask = np.array([[0, 2], [2, 255]], np.uint8)
    found = overlay(np.zeros((5, 7, 3), np.uint8), mask, PALETTE)
    assert found[0, 1].tolist() == [150, 102, 18]
    assert found[1, 1].tolist() == [153, 153, 153]


def test_shrinking_averages():
    stripes = np.zeros((4, 4, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (fitted(stripes, (2, 2)) == 100).all()


def test_every_value_of_a_mask_has_a_colour():
    assert table(PALETTE).shape == (256, 3)
    assert table(PALETTE)[[2, 3, 255]].tolist() == [[250, 170, 30], [255, 255, 255], [255, 255, 255]]
