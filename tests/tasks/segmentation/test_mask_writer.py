"""Predicted masks can be opened as pictures, and read as the data set's own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.tasks.segmentation.mask_writer import MaskWriter

PALETTE = [(0, 0, 0), (128, 64, 128), (250, 170, 30)]
NAMES = ["a/one.jpg", "b/one.jpg", "two.v2.jpeg"]


class FewWhole(list):
    def sample_of(self, item: int) -> int:
        return item

    def visible(self, item: int, pixels: np.ndarray) -> np.ndarray:
        return pixels


def data(labels: dict[int, int]) -> SimpleNamespace:
    picture = np.full((4, 6, 3), 200, np.uint8)
    split = FewWhole([{"input": picture}] * len(NAMES))
    vocabulary = Vocabulary(len(PALETTE), palette=tuple(PALETTE), labels=labels)
    return SimpleNamespace(vocabulary=vocabulary, names=lambda _: NAMES, split=lambda _: split)


@pytest.fixture
def predict(tmp_path):
    def run(labels: dict[int, int], masks: dict[int, torch.Tensor], overlays: bool = False, rank_zero: bool = True):
        trainer = SimpleNamespace(datamodule=data(labels), is_global_zero=rank_zero, world_size=1)
        task, writer = SimpleNamespace(overlays=overlays), MaskWriter(tmp_path)
        writer.on_predict_start(trainer, task)
        for number, (index, mask) in enumerate(masks.items()):
            writer.on_predict_batch_end(trainer, task, ([mask], torch.tensor([index])), {}, number)
        writer.on_predict_batch_end(trainer, task, ([], torch.tensor([], dtype=torch.long)), {}, len(masks))
        writer.on_predict_end(trainer, task)
        return tmp_path

    return run


PLAIN = {0: 0, 1: 1, 2: 2, 255: 255}
MASK = torch.tensor([[0, 1, 2], [2, 2, 0]], dtype=torch.uint8)


def test_names_folders_values_and_colours(predict):
    folder = predict(PLAIN, {2: MASK, 0: MASK.T.contiguous()}) / "masks"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == ["a/one.png", "two.v2.png"]
    with Image.open(folder / "two.v2.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == MASK.tolist()
        assert np.array_equal(np.asarray(image.convert("RGB")), np.array(PALETTE)[MASK])
    with Image.open(folder / "a/one.png") as image:
        assert image.size == (2, 3)


def test_values_are_those_of_the_data_sets_files(predict):
    """Zero means nothing in ADE20K's files, and Cityscapes' numbers have gaps."""
    with Image.open(predict({0: 255, 7: 0, 8: 1, 33: 2}, {2: MASK}) / "masks/two.v2.png") as image:
        assert np.asarray(image).tolist() == [[7, 8, 33], [33, 33, 7]]
        assert tuple(np.asarray(image.convert("RGB"))[0, 2]) == PALETTE[2]


def test_values_of_two_bytes_are_written_as_such(predict):
    with Image.open(predict({0: 0, 1000: 1, 65535: 2, 255: 255}, {2: MASK}) / "masks/two.v2.png") as image:
        assert image.mode == "I;16"
        assert np.asarray(image).tolist() == [[0, 1000, 65535], [65535, 65535, 0]]


def test_overlays_have_the_size_of_the_masks(predict):
    mask = torch.ones(8, 12, dtype=torch.uint8)
    folder = predict(PLAIN, {1: mask}, overlays=True)
    with Image.open(folder / "overlays" / "b" / "one.png") as image:
        assert image.size == (12, 8)
        assert image.getpixel((5, 5)) == tuple(round(0.6 * colour + 0.4 * 200) for colour in PALETTE[1])


def test_confidence_is_a_grey_picture_of_its_own(predict):
    folder = predict(PLAIN, {1: torch.stack([MASK, 85 * MASK])})
    with Image.open(folder / "masks/b/one.png") as mask, Image.open(folder / "confidence/b/one.png") as image:
        assert np.asarray(mask).tolist() == MASK.tolist()
        assert image.mode == "L"
        assert np.asarray(image).tolist() == (85 * MASK).tolist()


def test_no_overlays_unless_asked_for(predict):
    assert [path.name for path in predict(PLAIN, {1: MASK}).iterdir()] == ["masks"]
