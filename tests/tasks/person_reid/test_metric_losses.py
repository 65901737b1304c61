"""Losses by name, against the formula written out."""

from __future__ import annotations

import pytest
import torch

from blockyard.tasks.person_reid.metric_losses import MetricLoss


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(12, 8, requires_grad=True), torch.arange(12) // 4


def test_the_default_is_batch_hard_triplet_loss_with_margin_0_3():
    vectors, target = batch()
    loss = MetricLoss("TripletMarginLoss", {}, None, 3, 8)(vectors, target)
    unit = torch.nn.functional.normalize(vectors)  # pytorch-metric-learning compares directions
    distance = torch.cdist(unit, unit)
    same = target[:, None] == target[None]
    hardest = distance.where(same, -torch.inf).amax(1) - distance.where(~same, torch.inf).amin(1) + 0.3
    active = hardest[hardest > 0]  # it averages over the triplets that violate the margin
    torch.testing.assert_close(loss, active.mean(), rtol=1e-4, atol=1e-5)  # two ways to a float32 distance
    loss.backward()
    assert vectors.grad.abs().sum() > 0


def test_margin_and_miner_can_be_chosen():
    vectors, target = batch()
    far = MetricLoss("TripletMarginLoss", {"margin": 1.0}, "none", 3, 8)(vectors, target)
    near = MetricLoss("TripletMarginLoss", {"margin": 0.0}, "none", 3, 8)(vectors, target)
    assert far > near


def test_a_loss_with_weights_learns_them():
    vectors, target = batch()
    arc = MetricLoss("ArcFaceLoss", {}, None, 3, 8)
    arc(vectors, target).backward()
    assert [tuple(p.shape) for p in arc.parameters()] == [(8, 3)]
    assert all(p.grad is not None for p in arc.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("TripletLoss", {}, None), "metric_loss: .* has no TripletLoss; .*TripletMarginLoss"),
        (("TripletMarginLoss", {}, "BatchHardMine"), "miner: .* has no BatchHardMine; did you mean BatchHardMiner"),
        (("TripletMarginLoss", {"margn": 1}, None), r"has no option margn; did you mean margin"),
    ],
)
def test_wrong_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        MetricLoss(*arguments, 3, 8)
