"""Sampled attention is attention to neighbours where nothing is looked aside, and what it looks at is interpolated."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from blockyard.blocks import SampledAttention
from blockyard.blocks.mixers.sampled_attention import sample

SIZE = (3, 4, 3)
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])
drawn = partial(torch.randn, dtype=torch.float64)


def attention(rank: int, **options) -> SampledAttention:
    block = SampledAttention(6, rank, head_width=3, size=SIZE[:rank], **options).double()
    torch.nn.init.normal_(block.offset.weight)
    return block


def written_out(block: SampledAttention, x: Tensor) -> Tensor:
    """Head by head, position by position, neighbour by neighbour, where no position looks aside."""
    size, out = x.shape[2:], torch.zeros_like(x)
    queries, keys, values = block.qkv(x).chunk(3, 1)
    for head, place in product(range(0, 6, 3), product(*map(range, size))):
        here = (..., slice(head, head + 3), *place)
        scores, found = [], []
        for j, step in enumerate(product((-1, 0, 1), repeat=len(size))):
            there = tuple(p + s for p, s in zip(place, step, strict=True))
            inside = all(0 <= p < n for p, n in zip(there, size, strict=True))
            at = (..., slice(head, head + 3), *(there if inside else place))
            vector = sum(table[n - 1 - p + j] for table, n, p in zip(block.tables, size, place, strict=True))
            scores.append((queries[here] * (inside * keys[at] * 3**-0.5 + vector)).sum(1))
            found.append(inside * values[at])
        weights = torch.stack(scores).softmax(0)
        out[here] = (weights[:, :, None] * torch.stack(found)).sum(0)
    return block.project(out)


@every_rank
def test_looking_aside_by_nothing_is_attention_to_the_neighbours(rank: int):
    block, x = attention(rank), drawn(2, 6, *SIZE[:rank])
    expected = written_out(block, x)
    assert not torch.allclose(block(x), expected)
    for parameter in block.offset.parameters():
        parameter.detach().zero_()
    torch.testing.assert_close(block(x), expected)


@every_rank
def test_looking_aside_by_one_step_is_attention_to_the_neighbours_of_that_position(rank: int):
    block, size = attention(rank), SIZE[:rank]
    x = drawn(2, 6, *size)
    for parameter in (*block.offset.parameters(), *block.tables):
        parameter.detach().zero_()
    block.offset.bias.detach().unflatten(0, (-1, rank))[:, -1] = 1  # one further along the last axis
    onwards = x.roll(-1, -1)
    queries = block.qkv(x)[:, :6]
    block.qkv.register_forward_hook(lambda _, __, y: torch.cat([queries, y[:, 6:]], 1))
    inner = (..., slice(0, -2))  # whose neighbours lie in the map either way
    shifted = block(x)[inner]
    block.offset.bias.detach().zero_()
    torch.testing.assert_close(shifted[..., 1:], block(onwards)[inner][..., 1:])


def test_samples_are_what_a_deformable_convolution_sees():
    x, aside = drawn(2, 3, 5, 6), 2 * drawn(2, 9, 2, 5, 6)
    taps = torch.eye(9, dtype=torch.float64).view(9, 1, 3, 3).repeat(3, 1, 1, 1)
    expected = deform_conv2d(x, aside.flatten(1, 2), taps, padding=1).unflatten(1, (3, 9))
    here = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij"))
    steps = torch.tensor(list(product((-1, 0, 1), repeat=2)))[:, :, None, None]
    torch.testing.assert_close(sample(x, here + steps + aside), expected)


@every_rank
def test_samples_of_a_linear_map_are_linear_between_positions(rank: int):
    size = SIZE[:rank]
    slopes = drawn(rank)
    x = sum(
        slope * place
        for slope, place in zip(slopes, torch.meshgrid(*map(torch.arange, size), indexing="ij"), strict=True)
    )
    places = torch.rand(1, 7, rank, *size, dtype=torch.float64) * (
        torch.tensor(size).view(1, 1, rank, *(1,) * rank) - 1
    )
    expected = torch.einsum("bjr...,r->bj...", places, slopes)
    torch.testing.assert_close(sample(x[None, None], places)[:, 0], expected)


def test_the_scores_of_the_published_code_are_those_of_the_mirror_image():
    plain, mirrored = attention(2), attention(2, mirrored=True)
    mirrored.load_state_dict(plain.state_dict())
    query = drawn(2, 3, 4, 4)
    for block in (plain, mirrored):
        block.tables[1].detach().zero_()
    torch.testing.assert_close(mirrored._by_place(query), plain._by_place(query).transpose(2, 3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"head_width": 4}, "6 channels are not divisible by head_width=4"),
        ({"size": (3,)}, "size must be 2 positive numbers"),
    ],
)
def test_what_makes_no_attention_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SampledAttention(6, **options)
