"""Folders of pictures of any size as batches of clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules import DataError, WindowedPictures


@pytest.fixture
def root(tmp_path):
    """Two classes of pictures of random sizes: dark ones and bright ones."""
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2), ("test", 3), ("predict", 1)):
        for name, low in (("bright", 160), ("dark", 0)):
            for number in range(count):
                pixels = random.integers(low, low + 90, (*random.integers(4, 60, 2), 3), dtype=np.uint8)
                path = tmp_path / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return tmp_path


def made(root, **options) -> WindowedPictures:
    options = {"size": 8, "rows": 2, "columns": 3, "batch_size": 4, "num_workers": 0} | options
    return WindowedPictures(root=str(root), **options)


def test_pictures_of_any_size_become_clips_of_one_shape(root):
    data = made(root)
    assert data.input_shape == (3, 6, 8, 8)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            assert batch["input"].shape[1:] == (3, 6, 8, 8)
            assert batch["valid"].all()
            assert torch.equal((batch["input"].mean((1, 2, 3, 4)) < 0).long(), batch["target"])


def test_frames_are_the_windows_of_the_normalised_picture(root):
    data = made(root, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    picture = np.asarray(Image.open(root / "test" / "bright" / "0.png"))
    cut = torch.from_numpy(data.windows.cut(picture)).movedim(-1, 0)
    parts = zip(cut, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), strict=True)
    expected = torch.stack([(channel / 255 - mean) / std for channel, mean, std in parts])
    found = next(iter(data.test_dataloader()))["input"][0]
    torch.testing.assert_close(found, expected)


def test_of_new_pictures_one_that_cannot_be_read_is_named_and_zero_elsewhere_it_is_a_mistake(root):
    (root / "predict" / "dark" / "0.png").write_bytes(b"no picture")
    (batch,) = made(root).predict_dataloader()
    assert batch["valid"].tolist() == [True, False]
    split = made(root).split("predict")
    assert split.problem(0) is None
    assert "0.png" in split.problem(1)
    (root / "test" / "dark" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0\.png"):
        list(made(root).test_dataloader())


def test_what_is_predicted_can_be_named(root):
    assert made(root, predict_path=str(root / "test")).names("predict")[0] == "bright/0.png"
