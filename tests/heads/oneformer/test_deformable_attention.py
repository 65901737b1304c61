"""Deformable attention, where it can be written down."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from blockyard.heads.oneformer import MultiScaleDeformableAttention
from blockyard.heads.oneformer.deformable_attention import centres


def still(levels: int, points: int = 1, dx: float = 0.0, dy: float = 0.0) -> MultiScaleDeformableAttention:
    """One that looks ``dx`` columns and ``dy`` rows away and takes what it finds as it is."""
    attention = MultiScaleDeformableAttention(8, levels, 2, points)
    with torch.no_grad():
        attention.offsets.bias.copy_(torch.tensor([dx, dy]).repeat(2 * levels * points))
        for layer in (attention.value, attention.out):
            layer.weight.copy_(torch.eye(8))
    return attention


def test_looking_away_by_whole_pixels_shifts_the_map():
    x = torch.randn(2, 8, 5, 7)
    tokens, sizes = x.flatten(2).transpose(1, 2), [(5, 7)]
    found = still(1, dx=2, dy=-1)(tokens, centres(sizes, tokens), tokens, sizes)
    expected = F.pad(x, (0, 2, 1, 0))[:, :, :5, 2:]  # zero outside
    torch.testing.assert_close(found.transpose(1, 2).unflatten(2, (5, 7)), expected, rtol=0, atol=1e-5)


def test_equal_maps_of_any_size_are_seen_as_one():
    """The weights of all levels and points add up to one."""
    sizes = [(2, 3), (4, 6), (5, 5)]
    tokens = torch.randn(1, 1, 8).expand(1, 6 + 24 + 25, -1)
    queries = torch.randn(1, 4, 8)
    attention = still(3, points=4)
    torch.nn.init.normal_(attention.weights.weight)
    found = attention(queries, torch.full((4, 2), 0.5), tokens, sizes)
    torch.testing.assert_close(found, tokens[:, :4])


def test_begins_around_itself():
    """Eight heads look along the edges of a square, the p-th point p pixels away."""
    attention = MultiScaleDeformableAttention(16, 1, 8, 3)
    ring = attention.offsets.bias.view(8, 1, 3, 2)
    distance = ring.abs().amax(-1)
    torch.testing.assert_close(distance, torch.tensor([1.0, 2, 3]).expand(8, 1, 3))
    assert len({tuple(x) for x in ring[:, 0, 0].detach().round(decimals=3).tolist()}) == 8


def test_is_the_same_in_bfloat16_but_for_the_values():
    """Places stay in single precision: a coordinate of 8 bits would be off by a pixel of a map of 256."""
    sizes = [(1, 256)]
    tokens = torch.arange(256.0).view(1, 256, 1).expand(-1, -1, 8).bfloat16()
    attention = still(1).bfloat16()
    assert torch.equal(attention(tokens, centres(sizes, tokens), tokens, sizes), tokens)


def test_heads_divide_channels():
    with pytest.raises(ValueError, match="num_heads=3 must divide the 8 channels"):
        MultiScaleDeformableAttention(8, 1, 3)
