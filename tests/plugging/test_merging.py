"""Networks whose parts become one for inference."""

from __future__ import annotations

import copy

import torch
from torch import nn

from blockyard import merge, plug
from blockyard.backbones import PreResNet


def test_a_plugged_network_gives_the_same_and_is_left_as_it_is(fill_by_name):
    network = PreResNet(10, depth=8)
    plug(network, "DilatedReparam", at="stage2.0.conv*", mode="replace")
    fill_by_name(network)
    network.double().eval()
    before = copy.deepcopy(network.state_dict())
    merged = merge(network)
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(merged(x), network(x))
    assert sum(isinstance(m, nn.Conv2d) and m.kernel_size == (5, 5) for m in merged.modules()) == 2
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_of_which_nothing_can_be_merged_is_copied():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    merged = merge(network)
    assert merged is not network
    assert not merged.training
    assert network.training
    assert [*merged.state_dict()] == [*network.state_dict()]


def test_what_others_call_merged_is_no_method_of_ours():
    """Low-rank adapters keep a flag of that name."""
    network = nn.Sequential(nn.Linear(3, 4))
    network[0].merged = True
    assert isinstance(merge(network)[0], nn.Linear)
