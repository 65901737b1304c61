"""ElasticMobileNet has the published sizes, a kernel and an expansion for each unit, and every rank."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from blockyard.backbones import ElasticMobileNet
from blockyard.blocks import SpectralNonlocal
from blockyard.plugging import plug
from blockyard.poolings import ISqrtCov

SMALL = partial(
    ElasticMobileNet,
    widths=[8, 16],
    depths=[1, 2],
    kernels=[5, 3, 7],
    expansions=[2, 3, 4],
    strides=[1, 2],
    gated=[False, True],
    stem=8,
    rectified=1,
    last=24,
    hidden=12,
)


@pytest.mark.parametrize(
    ("depths", "kernels", "expansions", "count"), [(4, 7, 6, 7_664_760), (3, 5, 4, 4_551_792), (2, 3, 3, 3_410_792)]
)
def test_parameters_are_those_of_networks_of_the_authors_package(depths, kernels, expansions, count):
    with torch.device("meta"):
        network = ElasticMobileNet(1000, 3, depths=depths, kernels=kernels, expansions=expansions)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_each_unit_has_its_own():
    network = SMALL(3, 1)
    found = [(path, unit.depthwise[0].kernel_size[0], unit.hidden) for path, unit in network.units()]
    assert found == [("layer1.0", 5, 16), ("layer2.0", 3, 24), ("layer2.1", 7, 64)]
    acts = [type(unit.depthwise[2]) for _, unit in network.units()]
    assert acts == [nn.ReLU, nn.Hardswish, nn.Hardswish]
    assert [isinstance(unit.gate, nn.Identity) for _, unit in network.units()] == [True, False, False]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(rank: int):
    network = SMALL(0, 2, spatial_dims=rank)
    size = (17, 16, 9)[:rank]
    maps = network(torch.randn(2, 2, *size))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (stage.channels, *(-(-n // stage.stride) for n in size)) for stage in network.stages
    ]
    assert [stage.stride for stage in network.stages] == [2, 4]
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_what_is_pooled_and_hidden_may_be_left_away():
    network = SMALL(3, 1, last=None, hidden=None).eval()
    last, logits = network.map_and_logits(torch.randn(2, 1, 16, 16))
    assert torch.equal(logits, network.fc(last.mean((2, 3))))
    assert last.shape == (2, 16, 4, 4)


def test_plugs_and_poolings_find_their_places():
    network = SMALL(3, 2, pooling=ISqrtCov)
    plug(network, SpectralNonlocal, ["stage1", "stage2.1"], example=(1, 2, 64, 64), quiet=True)
    assert network(torch.randn(2, 2, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"stem": 0}, "must be positive"),
        ({"hidden": 0}, "must be positive"),
        ({"kernels": 4}, "kernels must be odd"),
        ({"kernels": [3, 3]}, "kernels must be 3 positive numbers, or one"),
        ({"depths": [1, 0]}, "depths must be 2 positive numbers"),
        ({"expansions": -1.0}, "expansions must be 3 positive numbers"),
        ({"strides": [1]}, "strides must be 2 positive numbers"),
        ({"gated": [True]}, "gated must say of 2 stages"),
        ({"widths": [], "strides": [], "gated": []}, "widths must be of one stage at least"),
        ({"rectified": 3}, "rectified must be 0 to 2, got"),
        ({"rectified": -1}, "rectified must be 0 to 2, got"),
        ({"dropout": 3.0}, "dropout=3 must be at least 0 and below 1"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str, one_line):
    with pytest.raises(ValueError, match="ElasticMobileNet") as refusal:
        SMALL(3, 2, **options)
    one_line(refusal, said)
