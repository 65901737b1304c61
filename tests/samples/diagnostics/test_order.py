"""A clip and the same clip backwards have the same frames, so that their mean tells nothing."""

from __future__ import annotations

import numpy as np
import torch

from blockyard.backbones import PreResNet
from blockyard.samples.diagnostics.order import CANVAS, CLASSES, FRAMES, STEP, write_order
from blockyard.samples.modules.diagnostics import Order


def clips(root, monkeypatch) -> dict[str, torch.Tensor]:
    monkeypatch.setattr(Order, "prepare_data", lambda self: None)
    split = Order(str(root)).split("test")
    return {split.names[index]: torch.as_tensor(split[index]["input"]) for index in range(len(split))}


def test_backwards_is_the_same_frames(tmp_path, monkeypatch):
    write_order(tmp_path, {"test": 3})
    found = clips(tmp_path, monkeypatch)
    network = PreResNet(2, depth=8, dropout=0.0, spatial_dims=3, frames_apart=True).double().eval()
    pairs = zip(*([found[name] for name in sorted(found) if name.startswith(title)] for title in CLASSES), strict=True)
    for left, right in pairs:
        assert torch.equal(left.flip(0), right)
        forwards, backwards = (clip.permute(3, 0, 1, 2)[None].double() for clip in (left, right))
        torch.testing.assert_close(network(forwards), network(backwards))


def test_the_digit_goes_the_way_that_the_class_says(tmp_path, monkeypatch):
    """Where the first two frames differ lies left of where the last two do, or right of it."""
    write_order(tmp_path, {"test": 3})
    for name, clip in clips(tmp_path, monkeypatch).items():
        changes = np.abs(np.diff(clip.numpy().astype(float), axis=0)).sum((1, 3))
        first, last = ((change * np.arange(CANVAS)).sum() / change.sum() for change in changes[[0, -1]])
        moved = (last - first) / (FRAMES - 2)
        assert abs(moved) > STEP / 2
        assert (moved > 0) == name.startswith("rightwards")
