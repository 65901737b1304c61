"""Recursive gated convolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blockyard.blocks import RecursiveGatedConvolution
from blockyard.blocks.mixers.gated import GlobalLocalFilter

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
SIZE = (6, 5, 4)


def draw(rank: int, channels: int = 8) -> torch.Tensor:
    return torch.randn(2, channels, *SIZE[:rank], dtype=torch.float64)


def without_biases(block: RecursiveGatedConvolution) -> RecursiveGatedConvolution:
    for name, parameter in block.named_parameters():
        if name.endswith("bias"):
            parameter.detach().zero_()
    return block


@RANKS
def test_of_order_one_it_is_a_gated_depthwise_convolution(rank: int):
    block, x = RecursiveGatedConvolution(8, rank, order=1, scale=0.5).double(), draw(rank)
    gate, rest = block.expand(x).chunk(2, 1)
    torch.testing.assert_close(block(x), block.project(gate * block.context(rest) / 2))


@RANKS
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("global_filter", [False, True])
def test_it_is_a_polynomial_of_one_degree_more_than_its_order(rank: int, order: int, global_filter: bool):
    """But for biases and norms."""
    block = without_biases(RecursiveGatedConvolution(16, rank, order=order, global_filter=global_filter)).double()
    if global_filter:
        block.context.norm1 = block.context.norm2 = torch.nn.Identity()
    x = draw(rank, 16)
    torch.testing.assert_close(block(1.5 * x), 1.5 ** (order + 1) * block(x))


@RANKS
@pytest.mark.parametrize("last", [4, 5])
def test_the_global_filter_is_a_circular_convolution(rank: int, last: int):
    size = (*SIZE[: rank - 1], last)
    module, x = GlobalLocalFilter(6, rank, size).double(), torch.randn(2, 3, *size, dtype=torch.float64)
    kernel = torch.fft.irfftn(torch.view_as_complex(module.filter.detach()), size, tuple(range(1, rank + 1)))
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    # taps in the order in which a correlation meets them, and zero lags first
    taps = kernel.flip(tuple(range(1, rank + 1)))[:, None]
    around = [side for length in reversed(size) for side in (length - 1, 0)]
    padded = F.pad(x, around, mode="circular")
    torch.testing.assert_close(module.filtered(x), convolve(padded, taps, groups=3))


@RANKS
def test_a_filter_for_another_size_is_interpolated(rank: int):
    module = GlobalLocalFilter(6, rank, (8,) * rank).double()
    module.filter.detach().copy_(torch.tensor([2.0, 0.0]))  # the same for all frequencies: twice the signal
    x = torch.randn(2, 3, *SIZE[:rank], dtype=torch.float64)
    torch.testing.assert_close(module.filtered(x), 2 * x)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_it_costs_as_many_channels_whatever_the_order(order: int):
    block = RecursiveGatedConvolution(16, order=order)
    assert block.widths[0] + sum(block.widths) == 2 * 16 == block.expand.out_channels


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RecursiveGatedConvolution(12, order=4), "divide 12 channels, got 4"),
        (lambda: RecursiveGatedConvolution(12, order=0), "order must be at least 1"),
        (lambda: RecursiveGatedConvolution(8, kernel_size=4), "kernel_size must be odd and positive, got 4"),
        (lambda: RecursiveGatedConvolution(8, global_filter=True, size=(3,)), "size must be 2 positive numbers"),
        (lambda: RecursiveGatedConvolution(8, order=4, global_filter=True), "divide 8 channels, got 4"),
        (lambda: GlobalLocalFilter(3), "channels must be even, got 3"),
    ],
)
def test_what_can_not_be_is_refused(make, said: str):
    with pytest.raises(ValueError, match=said):
        make()
