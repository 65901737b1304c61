"""Gated positional self-attention is a convolution where its gate and its sharpness say so."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from timm.models.convit import GPSA

from blockyard.blocks import GatedPositionalAttention, SelfAttention

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
SIZE = (6, 5, 4)
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def draw(rank: int, channels: int) -> torch.Tensor:
    return torch.randn(2, channels, *SIZE[:rank], dtype=torch.float64)


@RANKS
def test_sharp_heads_behind_an_open_gate_are_a_convolution(rank: int):
    """Of three taps along each axis; outside, the map goes on with its last positions."""
    heads, width = 3**rank, 2
    channels = heads * width
    block = GatedPositionalAttention(channels, rank, heads=heads, locality=1e3).double()
    torch.nn.init.normal_(block.value.weight)
    block.gate.detach().fill_(50.0)
    taps = torch.zeros(channels, channels, *(3,) * rank, dtype=torch.float64)
    for head, row in enumerate(block.position.weight.detach()):
        # of a head's score α (2 Δ δ - δ²), as the weights hold it, Δ; the last axis stands first
        offset = [round(float(slope / row[-1] / -2)) for slope in reversed(row[:-1])]
        part = slice(head * width, (head + 1) * width)
        taps[(slice(None), slice(None), *(1 + step for step in offset))] += (
            block.project.weight[:, part] @ block.value.weight[part]
        ).detach()
    x = draw(rank, channels)
    around = F.pad(x, (1,) * 2 * rank, mode="replicate")
    torch.testing.assert_close(block(x), CONVOLVE[rank](around, taps, block.project.bias))


@RANKS
def test_the_product_of_a_softmax_along_each_axis_is_the_softmax_over_all_positions(rank: int):
    block = GatedPositionalAttention(8, rank, heads=4).double()
    torch.nn.init.normal_(block.position.weight)
    size = torch.Size(SIZE[:rank])
    places = torch.tensor(list(product(*map(range, size))), dtype=torch.float64)
    offset = places[None] - places[:, None]
    features = torch.cat([offset.flip(2), offset.square().sum(2, keepdim=True)], 2)
    dense = block.position(features).permute(2, 0, 1).softmax(2)
    value = torch.randn(2, 4, size.numel(), 2, dtype=torch.float64)
    torch.testing.assert_close(block._by_position(value, size), dense @ value)


@RANKS
def test_behind_a_closed_gate_it_is_self_attention(rank: int):
    block, plain = GatedPositionalAttention(8, rank, heads=2).double(), SelfAttention(8, rank, head_width=4, bias=True)
    block.gate.detach().fill_(-50.0)
    plain = plain.double()
    plain.qkv.weight.detach().copy_(torch.cat([block.qk.weight, block.value.weight]))
    plain.project.load_state_dict(block.project.state_dict())
    x = draw(rank, 8)
    torch.testing.assert_close(block(x), plain(x))


@pytest.mark.parametrize("heads", [4, 9])
def test_it_begins_as_timms_does(heads: int):
    block, timms = GatedPositionalAttention(36, heads=heads, locality=2.0), GPSA(36, heads, locality_strength=2.0)
    timms.local_init()
    assert torch.equal(block.value.weight, timms.v.weight)
    assert torch.equal(block.gate, timms.gating_param)
    assert block.gate.sigmoid()[0].item() == pytest.approx(0.731, abs=5e-4)
    rows = [{tuple(row) for row in layer.weight.tolist()} for layer in (block.position, timms.pos_proj)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == heads


def test_heads_that_fill_no_cube_look_at_what_is_nearest():
    rows = GatedPositionalAttention(10, 2, heads=5).position.weight.tolist()
    assert {tuple(row[:2]) for row in rows} == {(0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)}


def test_channels_that_make_no_heads_are_refused():
    with pytest.raises(ValueError, match="10 channels are not divisible by heads=4"):
        GatedPositionalAttention(10)
