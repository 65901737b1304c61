"""LSNet has the published parameters, in every rank."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch

from blockyard.backbones import LSNet
from blockyard.backbones.skeletons.lsnet import Attention, Depthwise, Mixed
from blockyard.blocks import SpectralNonlocal
from blockyard.plugging import plug

PUBLISHED = {
    (0, 2, 8, 10): ((64, 128, 256, 384), 11_409_832),
    (1, 2, 8, 10): ((96, 192, 320, 448), 16_146_304),
    (4, 6, 8, 10): ((128, 256, 384, 512), 23_313_608),
}
SMALL = partial(LSNet, depths=(0, 2, 2), widths=(8, 16, 32), heads=2, input_size=64)


@pytest.mark.parametrize("depths", PUBLISHED)
def test_parameters_are_the_published_ones(depths: tuple[int, ...]):
    widths, expected = PUBLISHED[depths]
    with torch.device("meta"):
        network = LSNet(1000, 3, depths, widths)
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(rank: int):
    network = SMALL(0, 2, spatial_dims=rank)
    size = (70, 33, 40)[:rank]
    maps = network(torch.randn(2, 2, *size))
    assert [tuple(m.shape[2:]) for m in maps] == [tuple(-(-n // s) for n in size) for s in (8, 16, 32)]
    assert [stage.stride for stage in network.stages] == [8, 16, 32]
    for name, parameter in network.named_parameters():
        if not parameter.any():
            torch.nn.init.constant_(parameter, 0.5 if name.endswith("weight") else 0.1)
    sum(m.square().sum() for m in network(torch.randn(2, 2, *size))).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_units_are_depthwise_and_steered_in_turn_and_attend_at_last():
    network = SMALL(3, 2)
    kinds = [[type(unit.mixer) for unit in network.get_submodule(stage.path)] for stage in network.stages]
    assert kinds == [[], [Depthwise, Mixed], [Depthwise, Attention]]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_attention_adds_a_score_for_the_distance_along_each_axis(rank: int):
    size = (3, 4, 2)[:rank]
    block = Attention(8, rank, 2, size, width=2).double().eval()
    torch.nn.init.normal_(block.distance)
    block.project[1][1].weight.detach().fill_(1.0)
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    query, key, value = block.qkv(x).split(block.widths, 1)
    rows = [part.flatten(2).unflatten(1, (2, -1)) for part in (block.local(query), key, value)]
    scores = torch.einsum("bhdi,bhdj->bhij", rows[0], rows[1]) * 2**-0.5
    places = list(product(*map(range, size)))
    for i, one in enumerate(places):
        for j, other in enumerate(places):
            scores[:, :, i, j] += block.distance[(slice(None), *(abs(a - b) for a, b in zip(one, other, strict=True)))]
    mixed = torch.einsum("bhij,bhdj->bhdi", scores.softmax(3), rows[2]).flatten(1, 2).unflatten(2, size)
    torch.testing.assert_close(block(x), x + block.project(mixed))


def test_it_takes_pictures_of_another_size_and_blocks():
    network = plug(SMALL(3, 2), SpectralNonlocal, "stage2", example=(1, 2, 64, 64), quiet=True)
    assert network(torch.randn(2, 2, 96, 80)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (1,)}, "one number a stage"),
        ({"widths": (8, 12, 32)}, "multiples of 8"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"heads": 3}, "32 channels are not divisible by heads=3"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(3, 2, **options)
