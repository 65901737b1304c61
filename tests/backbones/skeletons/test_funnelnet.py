"""FunnelNet has the published parameters, for scalograms of the published size, in every rank."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from blockyard.backbones import FunnelNet

PUBLISHED = partial(FunnelNet, in_channels=1, input_size=(1000, 32))


@pytest.mark.parametrize(("width", "classes", "count"), [(12, 1, 4145), (16, 5, 5453)])
def test_parameters_are_the_published_ones(width: int, classes: int, count: int):
    """Those that kode/model/model.py of sunb26/FunnelNet names at 167f953: two classes are one number there."""
    with torch.device("meta"):
        network = PUBLISHED(classes, width=width)
    assert sum(p.numel() for p in network.parameters()) == count
    assert network.fc.in_features == 8
    assert network.neck[0].in_features == 31 * width


def by_hand(network: FunnelNet, x: Tensor) -> Tensor:
    """The published network of two axes, layer by layer, each with its own way to pad."""

    def convolve(part, x: Tensor, groups: int = 1) -> Tensor:
        return F.conv2d(x, part.weight, part.bias, groups=groups)

    x = F.max_pool2d(convolve(network.layer1[1], x).tanh(), 2)
    x = F.max_pool2d(convolve(network.layer1[5], x), 2)
    x = F.max_pool2d(convolve(network.layer2[1], x, groups=8).tanh(), 2)
    x = F.max_pool2d(convolve(network.layer2[5], x), 2)
    x = convolve(network.layer3[1], F.pad(x, (0, 1, 0, 1))).tanh()
    x = F.max_pool2d(x, 2, ceil_mode=True)
    hidden = F.linear(x.flatten(1), network.neck[0].weight, network.neck[0].bias).relu()
    return F.linear(hidden, network.fc.weight, network.fc.bias)


def test_it_is_the_published_layers():
    network, x = FunnelNet(3, 1, input_size=(70, 33)).double().eval(), torch.randn(2, 1, 70, 33, dtype=torch.float64)
    torch.testing.assert_close(network(x), by_hand(network, x))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("rank", "size"), [(1, (64,)), (2, (31, 40)), (3, (32, 31, 34))])
def test_every_rank_has_maps_and_a_gradient_everywhere(rank: int, size: tuple[int, ...], padding: str):
    network = FunnelNet(3, 2, padding=padding, spatial_dims=rank)
    x = torch.randn(2, 2, *size)
    maps = network.features(x)
    assert [m.shape[1] for m in maps] == [stage.channels for stage in network.stages] == [8, 8, 12]
    if padding == "same":
        for one, stage in zip(maps, network.stages, strict=True):
            assert one.shape[2:] == tuple(-(-n // stage.stride) for n in size)
    network.eval()(x).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    whole = FunnelNet(3, 2, padding=padding, spatial_dims=rank, input_size=size)
    assert whole(x).shape == (2, 3)


def test_means_over_positions_take_any_size_and_all_positions_one():
    network, x = FunnelNet(3, 1).eval(), torch.randn(2, 1, 70, 33)
    last, logits = network.map_and_logits(x)
    torch.testing.assert_close(logits, network.fc(network.neck(last.mean((2, 3)))))
    assert network(torch.randn(2, 1, 200, 31)).shape == (2, 3)
    with pytest.raises(ValueError, match="inputs are not of input_size 1000×32; without it, it takes any"):
        PUBLISHED(2)(x)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"spatial_dims": 4}, "spatial_dims must be 1, 2 or 3, got 4"),
        ({"padding": "zeros"}, "padding must be valid or same, got 'zeros'"),
        ({"narrow": 0}, "width=12, narrow=0 and hidden=8 must be positive"),
        ({"input_size": (1, 2, 3)}, "input_size must be 2 positive numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        FunnelNet(2, 1, **options)


def test_small_inputs_are_told_of_the_padding():
    with pytest.raises(ValueError, match="takes 31 positions or more along each axis, not 28×40; padding=same takes"):
        FunnelNet(2, 1)(torch.zeros(1, 1, 28, 40))
    assert FunnelNet(2, 1, padding="same")(torch.zeros(1, 1, 5, 9)).shape == (1, 2)
