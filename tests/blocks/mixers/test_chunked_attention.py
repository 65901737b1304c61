"""What an output of TCNCA depends on, and attention in chunks beside dense attention with a mask of blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from blockyard.blocks import TCNCA
from blockyard.blocks.mixers.chunked_attention import CausalConvolutions
from blockyard.costs import count_macs


def made(rank: int = 1, **options) -> TCNCA:
    torch.manual_seed(0)
    block = TCNCA(8, rank, **{"chunk": 6, "layers": 2, "kernel_size": 3} | options).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block


def draw(*size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 8, *size, generator=torch.Generator().manual_seed(len(size)), dtype=torch.float64)


def seen_by(module: nn.Module, t: int, length: int) -> list[int]:
    """The steps that output t has a slope in."""
    x = draw(length).requires_grad_()
    (slope,) = torch.autograd.grad(module(x)[:, :, t].square().sum(), x)
    return slope.abs().sum((0, 1)).nonzero().flatten().tolist()


@pytest.mark.parametrize("length", [1, 5, 6, 20, 24])
def test_causal_outputs_do_not_depend_on_what_comes_later(length: int):
    block, x = made(causal=True), draw(length)
    whole = block(x)
    for t in range(length):
        later = x.clone()
        later[:, :, t + 1 :] = 100 * draw(length)[:, :, t + 1 :]
        torch.testing.assert_close(block(later)[:, :, : t + 1], whole[:, :, : t + 1])
        torch.testing.assert_close(block(x[:, :, : t + 1]), whole[:, :, : t + 1])


def test_other_outputs_depend_on_their_chunk_and_what_its_convolutions_see():
    """Of chunks of 6 steps and a receptive field of 7, which looks back alone."""
    block = made()
    assert block.convolutions.receptive_field == 7
    assert seen_by(block, 13, 20) == list(range(6, 18))
    assert seen_by(block, 19, 20) == list(range(12, 20)), "the last chunk is shorter"
    assert seen_by(made(causal=True), 13, 20) == list(range(6, 14))


@pytest.mark.parametrize(("layers", "taps", "dilation"), [(1, 4, 2), (3, 2, 2), (2, 3, 4), (3, 3, 1), (2, 1, 2)])
def test_the_receptive_field_is_that_of_the_formula(layers: int, taps: int, dilation: int):
    torch.manual_seed(0)
    convolutions = CausalConvolutions(8, layers, taps, dilation).double()
    field = 1 + (taps - 1) * sum(dilation**layer for layer in range(layers))
    assert convolutions.receptive_field == field
    seen = seen_by(convolutions, 29, 32)
    assert (seen[0], seen[-1]) == (30 - field, 29)
    if dilation <= taps:  # no gaps
        assert seen == list(range(30 - field, 30))


def dense(block: TCNCA, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """All pairs of positions, and a mask of blocks."""
    steps = torch.arange(query.shape[1])
    mask = steps[:, None] // block.chunk == steps // block.chunk
    mask = mask & (steps[:, None] >= steps) if block.causal else mask
    scores = query @ key.mT / query.shape[2] ** 0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(2) @ value


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 4, 6, 7, 18, 23])
def test_attention_in_chunks_is_dense_attention_with_a_mask_of_blocks(length: int, causal: bool):
    block = made(causal=causal)
    parts = [draw(length).mT.roll(shift, 2).requires_grad_() for shift in range(3)]
    found = [block.within_chunks(*parts), dense(block, *parts)]
    torch.testing.assert_close(*found)
    slopes = [torch.autograd.grad(y.sin().sum(), parts) for y in found]
    for chunked, whole in zip(*slopes, strict=True):
        torch.testing.assert_close(chunked, whole)


def test_by_hand():
    """The formula of the docstring, in one chunk."""
    block, x = made(), draw(5)
    u = x
    for layer, apart in zip(block.convolutions.layers, (1, 2), strict=True):
        past = [torch.roll(nn.functional.pad(u, (8, 0)), k * apart, 2)[:, :, 8:] for k in (2, 1, 0)]
        u = u + nn.functional.silu(sum(layer.weight[:, 0, k, None] * past[k] for k in range(3)) + layer.bias[:, None])
    base, reset, update, new = (u.mT @ block.gates.weight.mT + block.gates.bias).chunk(4, 2)
    silu = nn.functional.silu
    key, value = silu(base), silu(block.value(x.mT))
    gathered = ((key * block.scale + block.shift) @ key.mT / 8**0.5).softmax(2) @ value
    gate = update.sigmoid()
    y = gate * silu(new + (silu(reset) * gathered) @ block.project.weight.mT) + (1 - gate) * x.mT
    torch.testing.assert_close(block(x), y.mT)


def test_positions_of_a_map_are_a_series_along_its_last_axis():
    flat, map_ = made(1), made(2)
    map_.load_state_dict(flat.state_dict())
    x = draw(3, 7)
    torch.testing.assert_close(map_(x), flat(x.flatten(2)).unflatten(2, (3, 7)))


def test_work_grows_as_the_series_does():
    few, many = (count_macs(TCNCA(8, 1, chunk=16), (8, length)) for length in (160, 1600))
    assert many == 10 * few


def test_what_makes_no_chunks_is_refused():
    with pytest.raises(ValueError, match="chunk and width must be at least 1, got 0 and None"):
        TCNCA(8, 1, chunk=0)
    with pytest.raises(ValueError, match="chunk and width must be at least 1, got 128 and 0"):
        TCNCA(8, 1, width=0)
    with pytest.raises(ValueError, match="at least 1, got 5, 5 and 0"):
        TCNCA(8, 1, dilation=0)
