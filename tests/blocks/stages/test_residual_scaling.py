"""Scaled residuals are those of scaled last weights, and a stage of timm takes them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.backbones.preresnet import BasicBlock
from blockyard.blocks import ResidualScaling


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_a_stage_whose_last_convolutions_are_scaled(rank: int):
    host = nn.Sequential(BasicBlock(4, 6, 2, rank), BasicBlock(6, 6, 1, rank), BasicBlock(6, 6, 1, rank))
    host, x = host.double().eval(), torch.randn(2, 4, *(6, 8, 4)[:rank], dtype=torch.float64)
    found = ResidualScaling(6, rank, scale=0.3, host=host)(host, x)
    with torch.no_grad():
        for unit in host[1:]:
            unit.conv2.weight *= 0.3
    torch.testing.assert_close(found, host(x))


def test_of_one_it_is_the_stage_and_of_nothing_its_first_unit():
    network, x = PreResNet(3).eval(), torch.randn(2, 3, 16, 16)
    host = network.get_submodule(network.stages[1].path)
    before = torch.randn(2, network.stages[0].channels, 8, 8)
    first, *_ = host
    for scale, expected in ((1.0, host(before)), (0.0, first(before))):
        torch.testing.assert_close(ResidualScaling(32, scale=scale, host=host)(host, before), expected)
    plugged = plug(network, ResidualScaling, "stage*", mode="around", quiet=True)
    assert plugged(x).shape == (2, 3)
