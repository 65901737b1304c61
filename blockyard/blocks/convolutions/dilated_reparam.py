"""A large kernel that is trained beside small ones whose taps lie apart, and is one convolution afterwards."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockyard.blocks.base import Mergeable
from blockyard.blocks.convolutions.convolution import (
    BATCH_NORMS,
    CONVOLUTIONS,
    ConvolutionSlot,
    Geometry,
    halves_kernel,
)

Branch = tuple[int, int]
"""Taps along each axis, and how far apart they lie."""
BRANCHES: dict[int, tuple[Branch, ...]] = {
    5: ((3, 1), (3, 2)),
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}
"""The published branches, by the taps of the large kernel."""


class DilatedReparam(ConvolutionSlot, Mergeable):
    """Y = BN(K ∗ X) + Σᵢ BN(Kᵢ ∗ X), K large, Kᵢ small with taps rᵢ apart, all within K's reach.

    Every summand is linear once the statistics of its norm stand still, so their sum is one convolution:
    :meth:`merged` gives it. Without a host it is a convolution of each channel by itself, as in UniRepLKNet.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        kernel_size: Taps of K along each axis, odd; None is as many as the host has, but five at least, and 13 without
            a host.
        branches: Taps and distances (kᵢ, rᵢ) of the small kernels; None is what the paper has for this ``kernel_size``.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If a kernel is not odd and positive, a small one reaches beyond K, the paper has none for K, or the
            host is not odd and padded by half its kernel.
    """

    paper: ClassVar[str] = "Ding et al., UniRepLKNet: A Universal Perception Large-Kernel ConvNet, CVPR 2024"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        kernel_size: int | None = None,
        branches: Sequence[Branch] | None = None,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        g = self.geometry
        if not halves_kernel(g):
            raise ValueError(f"DilatedReparam replaces an odd convolution that pads by half its kernel, not {host}")
        if host is None:
            g = replace(g, groups=channels)
        size = kernel_size or (13 if host is None else max(5, *g.kernel_size))
        self.geometry = _widened(g, size, 1)
        self.conv, self.norm = _conv(self.geometry), BATCH_NORMS[spatial_dims](g.out_channels)
        self.branches = nn.ModuleList(
            nn.Sequential(_conv(_widened(g, taps, apart)), BATCH_NORMS[spatial_dims](g.out_channels))
            for taps, apart in _checked(size, branches)
        )

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the host gives; the same shape without a host."""
        y: Tensor = self.norm(self.conv(x))
        for branch in self.branches:
            y = y + branch(x)
        return y

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The convolution ``(B, C, *S) -> (B, C', *S')`` that the block is where statistics stand still."""
        block = copy.deepcopy(self).eval()
        one = fuse_conv_bn_eval(block.conv, block.norm)
        for branch in cast(Iterable[Any], block.branches):
            small = fuse_conv_bn_eval(branch[0], branch[1])
            one.weight += _spread(small, self.geometry)
            one.bias += small.bias
        return one


def _checked(size: int, branches: Sequence[Branch] | None) -> Sequence[Branch]:
    """The small kernels beside one of ``size``."""
    if branches is None and size not in BRANCHES:
        raise ValueError(f"DilatedReparam: the paper has branches for a kernel_size of {[*BRANCHES]}, not of {size}")
    found = BRANCHES[size] if branches is None else branches
    if size < 1 or size % 2 == 0:
        raise ValueError(f"DilatedReparam: kernel_size must be odd and positive, got {size}")
    for taps, apart in found:
        if taps < 1 or taps % 2 == 0 or apart < 1 or apart * (taps - 1) >= size:
            raise ValueError(f"DilatedReparam: a branch of {taps} taps {apart} apart is not odd and within {size}")
    return found


def _widened(g: Geometry, taps: int, apart: int) -> Geometry:
    """The same convolution with other taps, further apart; it keeps its middle."""
    dilation = tuple(apart * d for d in g.dilation)
    padding = tuple(d * (taps // 2) for d in dilation)
    return replace(g, kernel_size=(taps,) * len(dilation), padding=padding, dilation=dilation, bias=False)


def _conv(g: Geometry) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    kind = CONVOLUTIONS[len(g.kernel_size)]
    return kind(g.in_channels, g.out_channels, g.kernel_size, g.stride, g.padding, g.dilation, g.groups, g.bias)  # type: ignore[arg-type]


def _spread(small: nn.Conv1d | nn.Conv2d | nn.Conv3d, large: Geometry) -> Tensor:
    """The kernel of a small convolution as one of the large one's taps, with zeros between."""
    weight = small.weight.new_zeros(*small.weight.shape[:2], *large.kernel_size)
    places = []
    for taps, own, size, base in zip(small.kernel_size, small.dilation, large.kernel_size, large.dilation, strict=True):
        apart = own // base
        first = size // 2 - apart * (taps // 2)
        places.append(slice(first, first + apart * (taps - 1) + 1, apart))
    weight[(slice(None), slice(None), *places)] = small.weight
    return weight
