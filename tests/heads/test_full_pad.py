"""FullPAD: two paths alone at first, and a map of all levels that each is given a share of."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.backbones import TimmFeatures
from blockyard.heads import FullPAD, make_segmentor
from blockyard.heads.full_pad import HyperACE, resized

WIDTHS = [6, 8, 10]


def maps(rank: int, sizes: tuple[int, ...] = (13, 7, 3)) -> list[Tensor]:
    return [torch.randn(2, n, *[size] * rank, dtype=torch.float64) for n, size in zip(WIDTHS, sizes, strict=True)]


def neck(rank: int = 2) -> FullPAD:
    return FullPAD(WIDTHS, rank, channels=4, edges=3).double()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_of_the_sizes_it_is_given(rank: int):
    made, given = neck(rank), maps(rank)
    nn.init.normal_(made.gates)
    for block in made.correlation.high:
        nn.init.ones_(block.norm.weight)
    outputs = made(given)
    assert [tuple(x.shape) for x in outputs] == [(2, 4, *x.shape[2:]) for x in given]
    torch.stack([(x * torch.randn_like(x)).sum() for x in outputs]).sum().backward()
    assert [name for name, p in made.named_parameters() if not p.grad.abs().max() > 0] == []


def test_a_fresh_one_is_its_two_paths():
    made, given = neck().eval(), maps(2, (12, 6, 3))
    fine, middle, coarse = (lateral(x) for lateral, x in zip(made.laterals, given, strict=True))
    double = partial(F.interpolate, scale_factor=2)
    middle = made.down[1](torch.cat([middle, double(coarse)], 1))
    fine = made.down[0](torch.cat([fine, double(middle)], 1))
    middle = made.up[0](torch.cat([middle, made.halve[0](fine)], 1))
    # 3 of 6 positions along each axis
    coarse = made.up[1](torch.cat([coarse, made.halve[1](middle)], 1))
    for ours, expected in zip(made(given), (fine, middle, coarse), strict=True):
        torch.testing.assert_close(ours, expected)


def test_a_gate_adds_the_map_of_all_levels():
    made, given = neck().eval(), maps(2, (12, 6, 3))
    before = made(given)
    found = made.correlation([lateral(x) for lateral, x in zip(made.laterals, given, strict=True)])
    with torch.no_grad():
        made.gates[2, 0] = 0.5
    torch.testing.assert_close(made(given)[0], before[0] + 0.5 * F.interpolate(found, (12, 12)))
    assert torch.equal(made(given)[1], before[1])


def test_the_map_of_all_levels_has_the_middles_size_and_sees_all():
    made = HyperACE(4, 2, 3, edges=2).double().eval()
    given = [torch.randn(1, 4, n, n, dtype=torch.float64, requires_grad=True) for n in (8, 4, 2)]
    found = made(given)
    assert found.shape == (1, 4, 4, 4)
    found.square().sum().backward()
    assert all(x.grad.abs().min() > 0 for x in given)


def test_sizes_grow_by_repeating_and_shrink_by_averaging():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert torch.equal(resized(x, [4, 3]), x.repeat_interleave(2, 2))
    assert torch.equal(resized(x, [1, 3]), x.mean(2, keepdim=True))
    assert resized(x, [2, 3]) is x


def test_a_segmentor_stands_on_it():
    trunk = TimmFeatures(name="resnet10t")
    segmentor = make_segmentor(trunk, {"type": "SegformerHead", "channels": 8}, [], 3, partial(FullPAD, channels=8))
    x, target = torch.randn(2, 3, 65, 64), torch.randint(0, 3, (2, 65, 64))
    segmentor.losses(x, target)["decode.loss_ce"].backward()
    assert segmentor.eval()(x).shape == (2, 3, 65, 64)
