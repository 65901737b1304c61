"""Dilated convolution with learnable spacings (DCLS)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.convolutions.convolution import ConvolutionSlot, convolve, halves_kernel, init_like_convolution


class DCLS(ConvolutionSlot):
    """A convolution of few weights at real positions within a large kernel; the positions are learned.

    A weight at p adds Πₐ max(0, 1 − |pₐ − jₐ|) of itself to each cell j of the dense kernel: bilinear interpolation
    in 2-D, through which the gradient reaches p. Every pair of channels has positions of its own. Positions are
    counted from the kernel's centre, one row an axis of S in its order, and stay inside the kernel.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        kernel_count: Weights in a kernel; None is as many as the host has. The paper's ConvNeXt has 34.
        dilated_kernel_size: Cells of the dense kernel along each axis, odd; None is 2 k + 3 for a host of k, the
            paper's 17 for ConvNeXt's 7.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If there are no weights, the dense kernel is even, or the host's kernel is even or it does not
            pad by half of it.
    """

    paper: ClassVar[str] = "Hassani et al., Dilated Convolution with Learnable Spacings, ICLR 2023"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        kernel_count: int | None = None,
        dilated_kernel_size: int | None = None,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        g = self.geometry
        if not halves_kernel(g):
            raise ValueError(f"DCLS replaces an odd convolution that pads by half its kernel, not {host}")
        if dilated_kernel_size is not None and (dilated_kernel_size < 1 or dilated_kernel_size % 2 == 0):
            raise ValueError(f"DCLS: dilated_kernel_size must be odd and positive, got {dilated_kernel_size}")
        count = math.prod(g.kernel_size) if kernel_count is None else kernel_count
        if count < 1:
            raise ValueError(f"DCLS: kernel_count must be at least 1, got {count}")
        self.dense_size = tuple(dilated_kernel_size or 2 * k + 3 for k in g.kernel_size)
        ones, halves = (1,) * spatial_dims, tuple(size // 2 for size in self.dense_size)
        self.dense = replace(g, kernel_size=self.dense_size, padding=halves, dilation=ones)
        pairs = g.out_channels, g.in_channels // g.groups
        self.weight = nn.Parameter(torch.empty(*pairs, count))
        self.bias = nn.Parameter(torch.empty(g.out_channels)) if g.bias else None
        init_like_convolution(self.weight, self.bias, g.in_channels // g.groups * count)
        self.positions = nn.Parameter(torch.empty(spatial_dims, *pairs, count).normal_(std=0.5))

    def kernel(self) -> Tensor:
        """The dense kernel, ``(out, C / groups, *S)``."""
        spread = [_hats(p, size) for p, size in zip(self.positions, self.dense_size, strict=True)]
        axes = "xyz"[: self.spatial_dims]
        return torch.einsum(f"oik,{','.join(f'oik{a}' for a in axes)}->oi{axes}", self.weight, *spread)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the host gives; the same shape without a host."""
        return convolve(x, self.kernel().to(x.dtype), self.bias, self.dense)


def _hats(position: Tensor, size: int) -> Tensor:
    """What a weight at a position gives to each of ``size`` cells along one axis, ``(..., size)``."""
    half = size // 2
    # straight through: a position that a step took outside acts at the border, and still finds its way back
    inside = position + (position.clamp(-half, half) - position).detach()
    cells = torch.arange(-half, half + 1, device=position.device, dtype=position.dtype)
    # not relu(1 - |p - j|), whose gradient is zero at whole numbers, where a position at the border would stay for good
    lower = inside.detach().floor().clamp(-half, half - 1).unsqueeze(-1)
    rest = inside.unsqueeze(-1) - lower
    return torch.where(cells == lower, 1 - rest, torch.where(cells == lower + 1, rest, 0))
