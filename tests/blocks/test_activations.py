"""StarReLU keeps the statistics of normal input, and computes what timm's does."""

from __future__ import annotations

import timm
import torch
from timm.models.metaformer import StarReLU as TimmStarReLU
from torch import nn

from blockyard.blocks import StarReLU
from blockyard.plugging import plug


def test_equals_timm_at_other_numbers():
    theirs = TimmStarReLU(scale_value=0.7, bias_value=-0.2)
    ours = StarReLU(8)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 8, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_standard_normal_input_keeps_mean_zero_and_variance_one():
    """E relu(x)² = 1/2 and Var relu(x)² = 3/2 − 1/4 = 5/4; s = 2/√5, b = −1/√5 solve for 0 and 1."""
    y = StarReLU(1, 1)(torch.randn(1, 1, 1_000_000, generator=torch.Generator().manual_seed(0)))
    # the standard error of the mean is 0.001; that of the variance, whose fourth moment is about 16, 0.004
    assert abs(y.mean()) < 0.004
    assert abs(y.var() - 1) < 0.016


def test_replaces_every_activation_of_a_network():
    network = plug(timm.create_model("resnet18"), StarReLU, ["act1", "layer*.*.act?"], mode="replace")
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())
    assert sum(isinstance(module, StarReLU) for module in network.modules()) == 1 + 8 * 2
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
