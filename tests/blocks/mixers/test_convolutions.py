"""Depthwise convolutions as mixers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.blocks import (
    DepthwiseConvolution,
    InceptionConvolution,
    LocalRelationAggregator,
    SeparableConvolution,
)

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


def draw(rank: int, channels: int = 16) -> torch.Tensor:
    return torch.randn(2, channels, *(7, 6, 5)[:rank], dtype=torch.float64)


@RANKS
def test_channels_stay_apart(rank: int):
    block, x = DepthwiseConvolution(16, rank).double(), draw(rank)
    other = x.clone()
    other[:, 3] += 1
    changed = (block(other) - block(x)).flatten(2).abs().sum((0, 2)) > 0
    assert changed.nonzero().flatten().tolist() == [3]
    assert sum(p.numel() for p in block.parameters()) == 16 * (7**rank + 1)


@RANKS
def test_a_local_relation_aggregator_is_attention_with_an_affinity_for_each_offset(rank: int):
    block, x = LocalRelationAggregator(16, rank, kernel_size=3).double(), draw(rank)
    places = torch.cartesian_prod(*map(torch.arange, x.shape[2:])).view(-1, rank)
    offsets = places - places[:, None]
    near = (offsets.abs() <= 1).all(2)
    taps = block.affinity.weight[:, 0][(slice(None), *(offsets.clamp(-1, 1) + 1).unbind(2))]
    mixed = torch.einsum("npq,bnq->bnp", taps * near, block.value(x).flatten(2)) + block.affinity.bias[:, None]
    torch.testing.assert_close(block(x), block.project(mixed.unflatten(2, x.shape[2:])))


@RANKS
def test_of_an_inception_convolution_some_channels_pass(rank: int):
    block, x = InceptionConvolution(16, rank).double(), draw(rank)
    passed = 16 - 2 * (rank + 1)
    y = block(x)
    assert torch.equal(y[:, :passed], x[:, :passed])
    assert not torch.isclose(y[:, passed:], x[:, passed:]).all(dim=tuple(range(2, rank + 2))).any()


def test_the_bands_lie_along_one_axis_each():
    block = InceptionConvolution(16, 2, band=5)
    assert [tuple(conv.kernel_size) for conv in block.convs] == [(3, 3), (1, 5), (5, 1)]


@RANKS
def test_a_separable_convolution_is_what_it_says(rank: int):
    block, x = SeparableConvolution(16, rank).double(), draw(rank)
    hidden = 2 / 5**0.5 * block.expand(x).relu().square() - 1 / 5**0.5
    torch.testing.assert_close(block(x), block.project(block.depthwise(hidden)))
    assert block.depthwise.groups == block.depthwise.in_channels == 32


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DepthwiseConvolution(16, kernel_size=4), "kernel_size must be odd and positive, got 4"),
        (lambda: LocalRelationAggregator(16, kernel_size=2), "LocalRelationAggregator: kernel_size must be odd"),
        (lambda: SeparableConvolution(16, expansion=0.01), "expansion=0.01 leaves no channel of 16"),
        (lambda: InceptionConvolution(4), "ratio=0.125 makes 3 parts of 0 of 4 channels"),
        (lambda: InceptionConvolution(16, ratio=0.5), "ratio=0.5 makes 3 parts of 8 of 16 channels"),
        (lambda: InceptionConvolution(16, band=4), "band must be odd and positive, got 4"),
    ],
)
def test_what_makes_no_convolution_is_refused(make, said: str):
    with pytest.raises(ValueError, match=said):
        make()


def test_no_convolution_between_has_a_bias():
    assert not [m for m in SeparableConvolution(8).modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
