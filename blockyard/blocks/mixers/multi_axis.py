"""MLPs over the positions of a block and over those of a grid (MAXIM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot
from blockyard.blocks.mixers.pointwise import Pointwise

SIGMA = 0.02
"""Standard deviation of the first weights between positions, as published."""


class MultiAxisMLP(Block):
    """Y = W' [g(Z₁), b(Z₂)], [Z₁, Z₂] = gelu(W X): half of the channels are mixed along a grid, half within blocks.

    Both are gated MLPs (Liu et al., Pay Attention to MLPs, NeurIPS 2021) with a way past them,
    Z + V' (u ⊙ (M v̂ + 1)), [u, v] = gelu(V Ẑ), a hat for a norm over channels. Of b, M mixes the positions of a block
    of ``block_size`` along each axis; of g, those that lie a cell apart, the cells of a grid of ``grid_size`` cells
    along each axis: near and far, at a cost that grows with the map. MAXIM has a norm before it and a way past it, as
    the skeletons do.

    Maps whose sides are no multiples are mirrored at their ends until they are, and cut again; so is a map that is
    smaller than a block.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        block_size: Positions of a block along each axis.
        grid_size: Cells of the grid along each axis.
        expansion: Rows of W / C, an even number; of V / its columns likewise 2.

    Raises:
        ValueError: If a size is not positive, or ``expansion`` not even.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022"

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, block_size: int = 8, grid_size: int = 8, expansion: int = 2
    ) -> None:
        super().__init__(channels, spatial_dims)
        if expansion < 2 or expansion % 2:
            raise ValueError(f"MultiAxisMLP: expansion must be an even number, got {expansion}")
        self.block_size, width = block_size, expansion * channels // 2
        self.expand = Pointwise(channels, 2 * width)
        self.grid = GatedMLP(width, CellMix(grid_size, spatial_dims, grid=True))
        self.block = GatedMLP(width, CellMix(block_size, spatial_dims, grid=False))
        self.project = Pointwise(2 * width, channels)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        far, near = smooth(self.expand(x)).chunk(2, 1)
        return self.project(torch.cat([self.grid(far), self.block(near)], 1))


class GatedMLP(nn.Module):
    """X + V' (u ⊙ (M v̂ + 1)), [u, v] = gelu(V X̂), ``(B, C, *S)`` to the same shape.

    Args:
        channels: C.
        mix: M.
    """

    def __init__(self, channels: int, mix: CellMix) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.expand = Pointwise(channels, 2 * channels)
        self.gate_norm = ChannelNorm(channels)
        self.mix = mix
        self.project = Pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions of ``(B, C, *S)``."""
        value, gate = smooth(self.expand(self.norm(x))).chunk(2, 1)
        return x + self.project(value * (self.mix(self.gate_norm(gate)) + 1))


class CellMix(nn.Module):
    """M: one linear map of as many positions as a block has, or a grid cells; ``(B, C, *S)`` to the same shape.

    Args:
        side: Positions of a block, or cells of a grid, along each axis.
        spatial_dims: Rank of S.
        grid: Whether positions a cell apart are mixed, and not those of a block.
        bias: The first value of what is added.

    Raises:
        ValueError: If ``side`` is not positive.
    """

    def __init__(self, side: int, spatial_dims: int, *, grid: bool, bias: float = 0.0) -> None:
        super().__init__()
        if side < 1:
            raise ValueError(f"the side of a block or of a grid must be positive, got {side}")
        self.side, self.grid = side, grid
        self.weight = nn.Parameter(SIGMA * torch.randn(side**spatial_dims, side**spatial_dims))
        self.bias = nn.Parameter(torch.full((side**spatial_dims,), bias))

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions of ``(B, C, *S)``."""
        size = x.shape[2:]
        cells = partition(mirrored(x, [self.side] * len(size)), self.side, self.grid)
        mixed = F.linear(cells.flatten(-len(size)), self.weight, self.bias)
        return cut(join(mixed.unflatten(-1, (self.side,) * len(size)), self.grid), size)


class ChannelNorm(nn.LayerNorm):
    """A norm over the channels of each position, ``(B, C, *S)`` to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position of ``(B, C, *S)``."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def smooth(x: Tensor) -> Tensor:
    """The GELU by its tanh form, as in the published code; any shape."""
    return F.gelu(x, approximate="tanh")


def partition(x: Tensor, side: int, grid: bool) -> Tensor:
    """``(B, C, *S)`` so that what belongs together lies last: ``(B, C, *n, *side)``.

    Of blocks, n are their numbers along the axes; of a grid, the positions of a cell. S are multiples of ``side``.
    """
    rank = x.dim() - 2
    for axis in range(2, 2 + 2 * rank, 2):
        x = x.unflatten(axis, (side, -1) if grid else (-1, side))
    return x.permute(*_order(rank, grid))


def join(cells: Tensor, grid: bool) -> Tensor:
    """What :func:`partition` made, ``(B, C, *n, *side)``, as a map ``(B, C, *S)`` again."""
    rank = cells.dim() // 2 - 1
    order = _order(rank, grid)
    x = cells.permute(*(order.index(axis) for axis in range(len(order))))
    for axis in range(2, 2 + rank):
        x = x.flatten(axis, axis + 1)
    return x


def _order(rank: int, grid: bool) -> list[int]:
    outer, inner = range(2, 2 + 2 * rank, 2), range(3, 3 + 2 * rank, 2)
    return [0, 1, *inner, *outer] if grid else [0, 1, *outer, *inner]


def mirrored(x: Tensor, multiples: Sequence[int]) -> Tensor:
    """``(B, C, *S)`` with positions mirrored at the end of each axis until there are a multiple of so many."""
    for axis, multiple in enumerate(multiples, 2):
        there = x.shape[axis]
        missing = -there % multiple
        if isinstance(missing, int) and not missing:  # a traced size says no such thing
            continue
        place = torch.arange(there + missing, device=x.device) % (2 * there)
        x = x.index_select(axis, torch.minimum(place, 2 * there - 1 - place))
    return x


def cut(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first positions ``(B, C, *size)`` of a map ``(B, C, *S)``."""
    surplus = [there - wanted for there, wanted in zip(x.shape[2:], size, strict=True)]
    return F.pad(x, [n for more in reversed(surplus) for n in (0, -more)])
