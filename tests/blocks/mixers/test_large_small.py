"""Sums whose weights each position has of its own are convolutions where all positions say the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blockyard.blocks import LSConvolution
from blockyard.blocks.mixers.large_small import aggregate

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
SIZE = (5, 6, 4)
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@RANKS
@pytest.mark.parametrize("size", [1, 3, 5])
def test_with_the_same_weights_everywhere_it_is_a_depthwise_convolution(rank: int, size: int):
    x = torch.randn(2, 6, *SIZE[:rank], dtype=torch.float64)
    kernels = torch.randn(3, *(size,) * rank, dtype=torch.float64)
    weights = kernels.flatten(1)[(None, ..., *(None,) * rank)].expand(2, -1, -1, *SIZE[:rank])
    taps = kernels.repeat_interleave(2, 0)[:, None]
    torch.testing.assert_close(aggregate(x, weights, size), CONVOLVE[rank](x, taps, padding=size // 2, groups=6))


def test_it_is_the_weighted_sum_of_an_unfolded_map():
    x, weights = torch.randn(2, 6, 5, 7, dtype=torch.float64), torch.randn(2, 3, 9, 5, 7, dtype=torch.float64)
    unfolded = F.unfold(x, 3, padding=1).view(2, 3, 2, 9, 5, 7)
    torch.testing.assert_close(aggregate(x, weights, 3), (weights[:, :, None] * unfolded).sum(3).flatten(1, 2))


def test_the_gradient_keeps_no_copies_of_the_map():
    """Besides the padded map and the weights, views of which are all that it needs."""
    x, weights = torch.randn(2, 8, 16, 16, requires_grad=True), torch.randn(2, 1, 9, 16, 16, requires_grad=True)
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        aggregate(x, weights, 3)
    padded = 2 * 8 * 18 * 18 * 4
    assert sum(kept.values()) == padded + weights.numel() * 4


@RANKS
def test_each_position_has_a_normed_kernel_for_each_group(rank: int):
    block = LSConvolution(16, rank, small=3, shared=4).double()
    weights = block.predict(block.mix(block.look(block.reduce(torch.randn(2, 16, *SIZE[:rank], dtype=torch.float64)))))
    assert weights.shape == (2, 4 * 3**rank, *SIZE[:rank])
    of_groups = weights.unflatten(1, (4, -1)).flatten(2)
    torch.testing.assert_close(of_groups.mean(2), torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shared": 3}, "16 channels are not divisible by shared=3"),
        ({"large": 4}, "large must be odd and positive, got 4"),
        ({"small": 2}, "small must be odd and positive, got 2"),
    ],
)
def test_what_makes_no_block_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        LSConvolution(16, **options)


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="channels must be even, got 9"):
        LSConvolution(9, shared=3)
