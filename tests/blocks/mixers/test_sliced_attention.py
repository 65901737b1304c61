"""Sliced attention is attention in each slice alone; one slice is all of it."""

from __future__ import annotations

import pytest
import torch

from blockyard.blocks import SelfAttention, SlicedAttention
from blockyard.blocks.mixers.sliced_attention import shuffle


def pair(rank: int = 2, **options) -> tuple[SlicedAttention, SelfAttention]:
    """Both with the same weights."""
    sliced, whole = (
        kind(8, rank, head_width=4, **more) for kind, more in ((SlicedAttention, options), (SelfAttention, {}))
    )
    whole.load_state_dict(sliced.state_dict())
    return sliced.double().eval(), whole.double().eval()


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_one_slice_is_self_attention(rank: int, shuffled: bool):
    sliced, whole = pair(rank, slices=1, shuffled=shuffled)
    x = torch.randn(2, 8, *(3, 4, 5)[:rank], dtype=torch.float64)
    torch.testing.assert_close(sliced(x), whole(x))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("slices", [2, 3, 5, 7, 12, 100])
def test_each_slice_attends_to_itself(slices: int, shuffled: bool):
    sliced, whole = pair(slices=slices, shuffled=shuffled)
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    rows = x.flatten(2)
    order = shuffle(12, x.device) if shuffled else torch.arange(12)
    expected = torch.empty_like(rows)
    for part in order.split(-(-12 // slices)):
        expected[:, :, part] = whole(rows[:, :, part].unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(sliced(x), expected.unflatten(2, (3, 4)))


def test_evaluation_repeats_and_training_shuffles_anew():
    block, _ = pair(slices=4, shuffled=True)
    x = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    assert torch.equal(block(x), block(x))
    assert not torch.equal(block.train()(x), block(x))
    assert torch.equal(block.eval()(x), block(x))


@pytest.mark.parametrize("count", [1, 2, 49, 784, 5000])
def test_an_order_has_every_number_once_and_looks_drawn(count: int):
    order = shuffle(count, torch.device("cpu"))
    assert torch.equal(order.sort().values, torch.arange(count))
    if count > 100:  # ranks of neighbours do not go together
        pairs = torch.corrcoef(torch.stack([order[:-1], order[1:]]).double())
        assert pairs[0, 1].abs() < 0.1


def test_no_slice_is_refused():
    with pytest.raises(ValueError, match="slices must be at least 1, got 0"):
        SlicedAttention(8, slices=0, head_width=4)
