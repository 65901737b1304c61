"""Digits of many sizes as clips of one shape."""

from __future__ import annotations

import torch

from blockyard.datamodules import Digits
from blockyard.samples.modules import WindowedDigits
from blockyard.samples.modules.windowed_digits import SIDES


def test_every_digit_has_a_size_of_its_own_and_clips_have_one():
    data, plain = WindowedDigits(batch_size=50), Digits(augment=False)
    split = data.split("val")
    assert data.names("val") == plain.names("val")
    sizes = {picture.shape for picture in split.images}
    assert len(sizes) > 300
    assert all(SIDES[0] <= side <= SIDES[1] for size in sizes for side in size[:2])
    batch = next(iter(data.val_dataloader()))
    assert batch["input"].shape == (50, *data.input_shape) == (50, 1, 9, 16, 16)
    assert torch.equal(batch["target"], next(iter(plain.val_dataloader()))["target"][:50])


def test_fingerprints_are_of_the_pixels():
    split = WindowedDigits().split("val")
    assert len(list(split.described())) == 1 + len(split)
