"""Ignored pixels: no loss depends on what a network says there, or teaches it anything."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockyard.backbones import Stage
from blockyard.heads.decode_head import make_head

CE, DICE, LOVASZ = "CrossEntropyLoss", "DiceLoss", "LovaszLoss"
LOSSES: list[dict[str, Any]] = [
    {"type": CE},
    {"type": CE, "avg_non_ignore": True},
    {"type": CE, "use_sigmoid": True},
    {"type": CE, "use_sigmoid": True, "avg_non_ignore": True},
    {"type": CE, "class_weight": [1.0, 2.0, 0.5]},
    {"type": CE, "class_weight": [1.0, 2.0, 0.5], "avg_non_ignore": True},
    {"type": DICE},
    {"type": DICE, "use_sigmoid": False},
    {"type": DICE, "naive_dice": True},
    {"type": DICE, "ignore_index": 0},
    {"type": "TverskyLoss"},
    {"type": LOVASZ, "per_image": True},
    {"type": LOVASZ, "reduction": "none"},
    {"type": LOVASZ, "classes": "all", "reduction": "none"},
]


def of_head(loss: Any) -> nn.Module:
    config = {"type": "FCNHead", "channels": 4, "num_convs": 1, "loss_decode": loss}
    return make_head(config, [Stage("", 3, 1)], 3)


def lost(config: dict[str, Any], logits: Tensor, labels: Tensor) -> Tensor:
    """As mmsegmentation's heads ask."""
    loss: Any = of_head(config).loss_decode
    value: Tensor = loss(logits, labels, weight=None, ignore_index=255)
    return value.mean()


@pytest.fixture
def half():
    """Logits (2, 3, 8, 8) and labels (2, 8, 8), of which the upper half is ignored."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    labels[:, :4] = 255
    return torch.randn(2, 3, 8, 8, generator=generator), labels


@pytest.mark.parametrize("config", LOSSES, ids=str)
def test_what_is_said_of_an_ignored_pixel_does_not_matter(config, half):
    logits, labels = half
    other = logits.clone()
    other[:, :, :4] = 5 * torch.randn(2, 3, 4, 8)
    logits.requires_grad_()
    loss = lost(config, logits, labels)
    # Sums in another order, as a sort by the values of zero terms may give, differ by rounding.
    torch.testing.assert_close(lost(config, other, labels), loss, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[:, :, :4] == 0).all()
    assert (gradient[:, :, 4:] != 0).any()


@pytest.mark.parametrize("config", LOSSES, ids=str)
@pytest.mark.parametrize("labelled", [0, 1], ids=["nothing", "a pixel"])
def test_a_picture_that_is_all_ignored_teaches_nothing_and_breaks_nothing(config, labelled, half):
    logits, labels = half
    labels = torch.full_like(labels, 255)
    labels[1, 0, :labelled] = 1
    logits.requires_grad_()
    loss = lost(config, logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert (gradient[0] == 0).all()


@pytest.mark.parametrize("options", [{}, {"use_sigmoid": False}, {"naive_dice": True}], ids=str)
def test_dice_is_that_of_the_labelled_part_alone(options, half):
    from mmseg.models.losses import DiceLoss

    logits, labels = half
    expected = DiceLoss(**options)(logits[:, :, 4:], labels[:, 4:])
    torch.testing.assert_close(lost({"type": DICE, **options}, logits, labels), expected)


def test_weighted_cross_entropy_is_pytorchs(half):
    logits, labels = half
    expected = nn.functional.cross_entropy(logits, labels, torch.tensor([1.0, 2.0, 0.5]), ignore_index=255)
    torch.testing.assert_close(lost({"type": CE, "class_weight": [1.0, 2.0, 0.5]}, logits, labels), expected)


def test_one_of_several_losses_is_mended_too():
    losses: Any = of_head([{"type": CE}, {"type": DICE, "loss_weight": 3.0}]).loss_decode
    assert [type(loss).__module__ for loss in losses] == ["blockyard.heads.ignored_pixels"] * 2
    assert losses[1].loss_weight == 3.0


@pytest.mark.parametrize("kind", ["HuasdorffDisstanceLoss", "SiLogLoss", "BoundaryLoss", "OhemCrossEntropy"])
def test_what_cannot_ignore_is_refused(kind):
    with pytest.raises(ValueError, match=rf"FCNHead: {kind} does not work as loss_decode; "):
        of_head({"type": kind})


def test_every_loss_of_mmsegmentation_is_among_these():
    from mmseg.models import losses

    known = {config["type"] for config in LOSSES} | {"BoundaryLoss", "OhemCrossEntropy", "HuasdorffDisstanceLoss"}
    refused_when_asked = {"SiLogLoss", "FocalLoss"}
    measures_only = {"Accuracy"}
    found = {name for name in losses.__all__ if isinstance(getattr(losses, name), type)}
    assert found - measures_only == known | refused_when_asked
