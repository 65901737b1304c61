"""Two convolutions whose channels are weighed, and what passes by them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blockyard.blocks import ResidualChannelAttention

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


@RANKS
@pytest.mark.parametrize("taps", [1, 3])
def test_it_is_the_formula(rank: int, taps: int):
    block = ResidualChannelAttention(8, rank, kernel_size=taps).double()
    x = torch.randn(2, 8, *(5, 4, 3)[:rank], dtype=torch.float64)
    centred = x - x.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    made = CONVOLVE[rank](normed, block.conv1.weight, block.conv1.bias, padding=taps // 2)
    made = F.gelu(made, approximate="tanh") if taps == 1 else torch.where(made > 0, made, 0.2 * made)
    made = CONVOLVE[rank](made, block.conv2.weight, block.conv2.bias, padding=taps // 2)
    means = made.flatten(2).mean(2)
    gates = block.gate.excite(block.gate.squeeze(means).relu()).sigmoid()
    torch.testing.assert_close(block(x), x + made * gates.view(2, 8, *(1,) * rank))


def test_it_is_the_identity_where_its_last_convolution_is_zero():
    block, x = ResidualChannelAttention(8), torch.randn(2, 8, 5, 5)
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    assert torch.equal(block(x), x)


def test_a_kernel_has_a_middle():
    with pytest.raises(ValueError, match="ResidualChannelAttention: kernel_size must be odd and positive, got 2"):
        ResidualChannelAttention(8, kernel_size=2)
