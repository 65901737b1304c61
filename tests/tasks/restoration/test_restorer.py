"""Training begins with the picture as it came; pictures of any size are restored at that size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.backbones import PreResNet
from blockyard.blocks import SpectralNonlocal
from blockyard.plugging import Plug, apply_plugs
from blockyard.tasks.restoration.restorer import Restorer, mirrored


def made(depth: int = 8) -> Restorer:
    return Restorer(PreResNet(0, 3, depth), 3, 8)


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (3, 5), (1, 1)])
def test_begins_with_the_picture_as_it_came_whatever_its_size(size):
    x = torch.randn(2, 3, *size)
    assert torch.equal(made().eval()(x), x)


def test_what_is_mirrored_does_not_change_what_the_network_says_of_whole_strides():
    network = made().eval()
    nn.init.normal_(network.damage.weight)
    x = torch.randn(1, 3, 13, 16)
    torch.testing.assert_close(network(x), network(mirrored(x, 3, 0))[..., :13, :])


def test_mirrors_where_there_is_enough_to_mirror_and_repeats_elsewhere():
    x = torch.arange(3.0).view(1, 1, 1, 3)
    assert mirrored(x, 0, 2).flatten().tolist() == [0, 1, 2, 1, 0]
    assert mirrored(x, 0, 4).flatten().tolist() == [0, 1, 2, 2, 2, 2, 2]


def test_every_parameter_gets_a_gradient_by_the_second_step():
    """The last convolution is zero at first, and lets nothing through."""
    network = made()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.randn(2, 3, 16, 16)).square().mean().backward()
        optimizer.step()
    missing = [name for name, p in network.named_parameters() if p.grad is None]
    assert missing == []


def test_blocks_plug_into_the_stages():
    network = made()
    apply_plugs(network, [Plug(SpectralNonlocal, "stage3.-1")], example=torch.zeros(1, 3, 16, 16))
    assert sum(isinstance(module, SpectralNonlocal) for module in network.modules()) == 1


def test_needs_stages_and_a_width():
    with pytest.raises(ValueError, match=r"^Linear has no stages, so there are no maps"):
        Restorer(nn.Linear(2, 2), 3, 8)
    with pytest.raises(ValueError, match=r"^width=0 must be positive$"):
        Restorer(PreResNet(0, 3), 3, 0)
