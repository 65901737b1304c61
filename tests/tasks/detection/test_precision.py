"""Under autocast boxes are as exact as without: what layers compute in half precision is no coordinate."""

from __future__ import annotations

import pytest
import torch

from blockyard.backbones import PreResNet
from blockyard.heads import FPN, BridgedHead
from blockyard.tasks.detection.detector import KINDS, Detector

EVERY = [*((kind, torch.bfloat16, None) for kind in KINDS), ("FCOS", torch.bfloat16, BridgedHead)]
EVERY += [("SSDLite", torch.float16, None)]


def detector(kind, num_classes=3, head=None):
    torch.manual_seed(0)
    neck = None if kind == "SSDLite" else lambda channels: FPN(channels, channels=32)
    return Detector(kind, PreResNet(0, depth=8, stem_stride=4), num_classes, neck, 8, 50, 0.0, head)


def wide_picture():
    torch.manual_seed(1)
    return torch.randn(1, 3, 64, 1024)


@pytest.mark.parametrize(("kind", "precision", "head"), EVERY)
def test_boxes_are_not_rounded(kind, precision, head):
    """bfloat16 holds multiples of 4 alone between 512 and 1024."""
    network = detector(kind, head=head).eval()
    with torch.no_grad(), torch.autocast("cpu", precision):
        found = network(wide_picture())
    assert found.dtype == torch.float32
    across = found[..., [0, 2]].flatten()
    across = across[(across > 512) & (across < 1024)]
    assert len(across) > 10
    assert (across != across.to(precision)).float().mean() > 0.1  # some lie on a map's grid


@pytest.mark.parametrize("kind", ["FCOS", "RetinaNet", "FasterRCNN"])
def test_a_thin_box_has_the_losses_that_it_has_without_autocast(kind):
    """In bfloat16 its sides are at one place."""
    target = {"boxes": torch.tensor([[700.0, 20, 701.5, 60], [600, 3, 690, 55]]), "labels": torch.tensor([1, 2])}
    network, losses = detector(kind), []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            torch.manual_seed(2)  # Faster R-CNN draws the regions that it learns from
            losses.append(network.losses(wide_picture(), [target]))
    for name, expected in losses[0].items():
        torch.testing.assert_close(losses[1][name], expected, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("kind", ["FCOS", "FasterRCNN"])
def test_a_class_beyond_256_keeps_its_number(kind):
    network = detector(kind, num_classes=400).eval()
    inner = network.detector
    last = inner.head.classification_head.cls_logits if kind == "FCOS" else inner.roi_heads.box_predictor.cls_score
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        last.bias[301 + network.background] = 9.0
        found = network(torch.randn(1, 3, 64, 128))
    assert found[0, 0, 5].item() == 301
