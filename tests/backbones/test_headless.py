"""What comes after the last map goes, and nothing else."""

from __future__ import annotations

import pytest
import torch

from blockyard.backbones import Framewise, PreResNet, PyTorchVideoBackbone, TimmBackbone
from blockyard.backbones.headless import behead

PICTURE, CLIP = (1, 3, 64, 32), (1, 3, 4, 64, 64)
CASES = {
    "PreResNet": (
        lambda: PreResNet(5, depth=8),
        PICTURE,
        2 * 64 + 64 * 64 + 2 * 64 + 64 * 5 + 5,
    ),
    "TimmBackbone": (lambda: TimmBackbone(5, name="resnet18"), PICTURE, 512 * 5 + 5),
    "TimmBackbone bottleneck": (lambda: TimmBackbone(5, name="resnet26", last_stride=1), PICTURE, 2048 * 5 + 5),
    "Framewise": (lambda: Framewise(5, name="resnet18", temporal="attention"), CLIP, 512 * 5 + 5 + 512),
    "PyTorchVideoBackbone": (lambda: PyTorchVideoBackbone(5, name="c2d_r50"), CLIP, 2048 * 5 + 5),
}


@pytest.mark.parametrize("name", CASES)
def test_all_that_is_left_gets_a_gradient_and_the_maps_are_the_same(name):
    make, shape, gone = CASES[name]
    backbone = make()
    before = sum(p.numel() for p in backbone.parameters())
    x = torch.randn(shape)
    expected = backbone.eval().features(x)
    behead(backbone.train(), torch.zeros(shape))
    assert backbone.training
    assert before - sum(p.numel() for p in backbone.parameters()) == gone
    maps = backbone.eval().features(x)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    backbone.train().features(torch.randn(2, *shape[1:]))[-1].square().sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())
