"""Attention over the whole map: timm's with the same weights, and the sum written out."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from timm.layers.bottleneck_attn import BottleneckAttn
from torch import Tensor

from blockyard.blocks import RelativeAttention

SIZES = {1: (7,), 2: (5, 4), 3: (3, 4, 2)}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_equals_timm_where_it_scales_the_positions_too():
    theirs = BottleneckAttn(16, feat_size=(5, 6), scale_pos_embed=True).double()
    ours = RelativeAttention(16, size=(5, 6)).double()
    with torch.no_grad():
        ours.qkv.conv.weight.copy_(theirs.qkv.weight.flatten(2))
        ours.tables[0].copy_(theirs.pos_embed.height_rel)
        ours.tables[1].copy_(theirs.pos_embed.width_rel)
    x = draw(2, 16, 5, 6)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("position", ["relative", "absolute"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_the_sum_written_out(rank: int, position: str):
    size = SIZES[rank]
    block = RelativeAttention(8, rank, heads=2, position=position, size=size).double()
    x = draw(1, 8, *size)
    places = list(product(*map(range, size)))
    query, key, value = (t.unflatten(1, (2, 4)) for t in block.qkv(x).chunk(3, 1))
    result = torch.zeros(2, 4, len(places), dtype=torch.float64)
    for head, (i, here) in product(range(2), enumerate(places)):
        scores = []
        for j, there in enumerate(places):
            numbers = [b - a + n - 1 for a, b, n in zip(here, there, size, strict=True)]
            numbers = numbers if position == "relative" else list(there)
            vector = sum(table[n] for table, n in zip(block.tables, numbers, strict=True))
            scores.append(query[0, head, :, i] @ (key[0, head, :, j] + vector) / 4**0.5)
        result[head, :, i] = value[0, head] @ torch.stack(scores).softmax(0)
    torch.testing.assert_close(block(x), result.reshape(x.shape))


def test_without_positions_pixels_have_no_order():
    block, x = RelativeAttention(16, size=(4, 6)).double(), draw(2, 16, 4, 6)
    order = torch.randperm(24)

    def shuffle(m: Tensor) -> Tensor:
        return m.flatten(2)[:, :, order].reshape(m.shape)

    assert not torch.allclose(block(shuffle(x)), shuffle(block(x)))
    for table in block.tables:
        torch.nn.init.zeros_(table)
    torch.testing.assert_close(block(shuffle(x)), shuffle(block(x)))


def test_a_vector_belongs_to_an_offset_and_its_direction():
    (vectors,) = RelativeAttention(16, 1, size=(12,))._relative(torch.Size([12]))
    assert torch.equal(vectors[2, 5], vectors[7, 10])
    assert not torch.equal(vectors[2, 5], vectors[5, 2])


@pytest.mark.parametrize("position", ["relative", "absolute"])
def test_on_other_sizes_the_tables_are_interpolated_from_end_to_end(position: str):
    small, large = 4, 7  # 7 = 2 · (4 − 1) + 1: every second entry of the larger table is one of the smaller
    block = RelativeAttention(16, 1, position=position, size=(small,)).double()
    if position == "relative":
        (at_small,), (at_large,) = block._relative(torch.Size([small])), block._relative(torch.Size([large]))
        torch.testing.assert_close(at_large[::2, ::2], at_small)
    else:
        torch.testing.assert_close(block._absolute(torch.Size([large]))[::2], block._absolute(torch.Size([small])))
    assert block(draw(2, 16, large)).shape == (2, 16, large)


def test_a_map_of_one_position_is_its_value():
    block, x = RelativeAttention(16).double(), draw(2, 16, 1, 1)
    torch.testing.assert_close(block(x).flatten(1), block.qkv(x)[:, 32:, 0])


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="16 channels are not divisible by heads=3"):
        RelativeAttention(16, heads=3)
    with pytest.raises(ValueError, match=r"size must be 2 positive numbers, got \(7,\)"):
        RelativeAttention(16, size=(7,))
