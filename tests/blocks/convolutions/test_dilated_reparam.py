"""Branches of small kernels, and the one convolution that they are together."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.blocks import DilatedReparam
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.convolutions.dilated_reparam import BRANCHES

SIZES = {1: (29,), 2: (15, 17), 3: (9, 8, 7)}


def as_trained(block: DilatedReparam, fill_by_name) -> DilatedReparam:
    """With statistics, scales and shifts that differ, in double precision."""
    fill_by_name(block)
    return block.double().eval()


@pytest.mark.parametrize("size", BRANCHES)
def test_is_one_convolution_afterwards(size: int, fill_by_name):
    block = as_trained(DilatedReparam(4, 2, kernel_size=size), fill_by_name)
    merged = block.merged()
    assert type(merged) is nn.Conv2d
    assert merged.kernel_size == (size, size)
    x = torch.randn(2, 4, *SIZES[2], dtype=torch.float64)
    torch.testing.assert_close(merged(x), block(x))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2}, {"groups": 2}, {"dilation": 2, "padding": 2}],
    ids=["plain", "stride", "groups", "dilation"],
)
def test_takes_over_the_geometry_of_its_host(rank: int, options: dict[str, int], fill_by_name):
    host = CONVOLUTIONS[rank](4, 8, 3, **{"padding": 1} | options).double()
    block = as_trained(DilatedReparam(4, rank, host=host), fill_by_name)
    x = torch.randn(2, 4, *SIZES[rank], dtype=torch.float64)
    assert block(x).shape == host(x).shape
    torch.testing.assert_close(block.merged()(x), block(x))


def test_a_branch_is_a_convolution_with_taps_apart():
    """With only the branch's norm left of the sum, each tap of a delta shows where it lies."""
    block = DilatedReparam(1, 1, kernel_size=13).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.zeros_(module.weight)
    conv, norm = block.branches[3]
    with torch.no_grad():
        norm.weight.fill_((1 + norm.eps) ** 0.5)
        conv.weight.copy_(torch.tensor([[[1.0, 2.0, 3.0]]]))
    assert BRANCHES[13][3] == (3, 4)
    expected = torch.zeros(13)
    expected[[2, 6, 10]] = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(block.merged().weight.flatten(), expected)


def test_parameters():
    """K² + Σ kᵢ² taps a channel, and two numbers of every norm: 13² + 25 + 49 + 3 · 9 + 2 · 6 = 282."""
    assert sum(p.numel() for p in DilatedReparam(8).parameters()) == 8 * 282


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernel_size": 19}, "the paper has branches for a kernel_size of .*, not of 19"),
        ({"kernel_size": 8, "branches": []}, "kernel_size must be odd and positive, got 8"),
        ({"kernel_size": 5, "branches": [(3, 3)]}, "a branch of 3 taps 3 apart is not odd and within 5"),
        ({"kernel_size": 5, "branches": [(2, 1)]}, "a branch of 2 taps"),
        ({"host": nn.Conv2d(4, 4, 3)}, "pads by half its kernel"),
    ],
)
def test_refuses(options: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        DilatedReparam(4, **options)
