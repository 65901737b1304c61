"""The worst mistakes of a test, as a picture."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules.loading import Split
from blockyard.tasks.classification.contact_sheet import ContactSheet, draw, view_frames, worst, worst_tags

CLASSES = ["cat", "dog", "fox"]
OUTCOMES = {  # sample 5 is right in spite of its loss; sample 1 was not tested
    "index": torch.tensor([0, 2, 3, 5]),
    "target": torch.tensor([0.0, 1.0, 2.0, 0.0]),
    "predicted": torch.tensor([1.0, 0.0, 1.0, 0.0]),
    "probability": torch.tensor([0.5, 0.75, 0.5, 0.25]),
    "loss": torch.tensor([1.0, 3.0, 2.0, 9.0]),
}


class Views(Split):
    """Clips (4, 6, 8, 3), three views a video, every pixel the number of its view."""

    views = 3

    def __getitem__(self, index: int) -> dict:
        return {"input": np.full((4, 6, 8, 3), index, dtype=np.uint8)}


def test_the_largest_losses_among_the_mistakes_come_first():
    assert worst(OUTCOMES, CLASSES, 2) == [(2, "dog\ntaken for cat (75%)"), (3, "fox\ntaken for dog (50%)")]


def test_of_several_labels_a_line_lists_them():
    outcomes = {
        "index": torch.tensor([0, 2, 3]),  # sample 0 is right in spite of its loss; sample 1 was not tested
        "target": torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1]]),
        "probability": torch.tensor([[0.6, 0.4, 0.4], [0.1, 0.9, 0.8], [0.1, 0.2, 0.3]]),
        "loss": torch.tensor([9.0, 1.0, 2.0]),
    }
    expected = [(3, "fox\ntaken for nothing"), (2, "cat, dog\ntaken for dog, fox")]
    assert worst_tags(outcomes, CLASSES, 8) == expected
    assert worst_tags(outcomes, CLASSES, 1) == expected[:1]


@pytest.mark.parametrize(("columns", "frames"), [(2, 2), (8, 4)])
def test_shows_the_middle_view_of_a_video(columns, frames):
    shown = view_frames(Views(), 5, columns)
    assert shown.shape == (frames, 6, 8, 3)
    assert (shown == 16).all()  # 5 · 3 + 1


def test_of_a_picture_there_is_one_frame_and_of_a_tensor_none():
    class Inputs(Split):
        def __init__(self, given):
            self.given = given

        def __getitem__(self, index: int) -> dict:
            return {"input": self.given}

    assert view_frames(Inputs(np.zeros((6, 8, 1), np.uint8)), 0, 8).shape == (1, 6, 8, 1)
    assert view_frames(Inputs(torch.zeros(3, 6, 8)), 0, 8) is None
    drawn = view_frames(Inputs(torch.zeros(1, 60)), 0, 8, lambda wave: np.full((1, 5, wave.shape[1], 1), 7, np.uint8))
    assert drawn.shape == (1, 5, 60, 1)


def test_draws_a_row_a_mistake():
    def height(rows: int) -> int:
        clip = np.zeros((4, 6, 8, 3), np.uint8)
        return Image.open(io.BytesIO(draw([("v.avi\ncat\ntaken for dog", clip)] * rows))).height

    assert height(6) == pytest.approx(3 * height(2), rel=0.01)


def test_is_written_at_the_end_of_a_test(tmp_path):
    data = SimpleNamespace(
        names=lambda split: [f"v{k}.avi" for k in range(6)], classes=CLASSES, split=lambda split: Views()
    )
    trainer = SimpleNamespace(is_global_zero=True, fast_dev_run=False, datamodule=data)
    ContactSheet(tmp_path).on_test_end(trainer, SimpleNamespace(outcomes=OUTCOMES))
    assert Image.open(tmp_path / "mistakes.png").format == "PNG"
