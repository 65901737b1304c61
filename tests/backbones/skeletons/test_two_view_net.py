"""Two branches in one network: what each computes, and the published counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.backbones import TwoViewNet
from blockyard.costs import count_parameters


def test_parameters_are_the_published_ones():
    with torch.device("meta"):
        network = TwoViewNet(10, 1)
    assert count_parameters(network) == 14_862
    branches = {name: sum(p.numel() for p in getattr(network, name).parameters()) for name in ("layer1", "layer2")}
    assert sum(branches.values()) == 2 * 1_920
    assert sum(p.numel() for p in network.answers.parameters()) == 2 * 5_010
    assert [sum(p.numel() for p in part.parameters()) for part in (network.neck, network.fc)] == [672, 330]


def branch(network: TwoViewNet, which: int, x: Tensor) -> Tensor:
    """One of the two by itself, with its half of the weights."""
    pool = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}[x.ndim]
    convolve = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    for layer in (network.layer1[0], network.layer2[0]):
        x = pool(convolve(x, layer.weight.chunk(2)[which], layer.bias.chunk(2)[which]).relu(), 2)
    return convolve(x, network.answers.weight.chunk(2)[which], network.answers.bias.chunk(2)[which])


@pytest.mark.parametrize(("rank", "size"), [(1, (28,)), (2, (28, 31)), (3, (26, 26, 28))])
def test_each_branch_is_a_network_by_itself(rank: int, size: tuple[int, ...]):
    network = TwoViewNet(4, 2, width=3, spatial_dims=rank).double().eval()
    one, other = torch.randn(2, 1, 2, *size, dtype=torch.float64)
    views = network.views(one, other)
    torch.testing.assert_close(views, (branch(network, 0, one), branch(network, 1, other)))
    answers = torch.cat([branch(network, which, one) for which in (0, 1)], 1).relu().flatten(2).mean(2)
    hidden = F.linear(answers, network.neck[0].weight, network.neck[0].bias).relu()
    torch.testing.assert_close(network(one), F.linear(hidden, network.fc.weight, network.fc.bias))


def test_a_trunk_gives_the_maps_of_both_and_has_no_answers():
    network = TwoViewNet(0, 1)
    maps = network(torch.zeros(2, 1, 28, 28))
    assert [tuple(one.shape) for one in maps] == [(2, 20, 13, 13), (2, 40, 5, 5)]
    assert sum(p.numel() for p in network.parameters()) == 2 * 1_920
    assert isinstance(network.answers, nn.Identity)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="at least 26 positions along each axis, not to 28×25"):
        TwoViewNet(10, 1)(torch.zeros(1, 1, 28, 25))
    assert TwoViewNet(10, 1)(torch.zeros(1, 1, 26, 26)).shape == (1, 10)
    with pytest.raises(ValueError, match="spatial_dims must be 1, 2 or 3, got 4"):
        TwoViewNet(10, 1, spatial_dims=4)
    with pytest.raises(ValueError, match="width=0 and hidden=32 must be positive"):
        TwoViewNet(10, 1, width=0)
