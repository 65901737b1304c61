"""Two maps of one size that gate each other (MAXIM)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockyard.blocks.mixers.multi_axis import CellMix, ChannelNorm, smooth
from blockyard.blocks.mixers.pointwise import Pointwise

UP = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class CellGate(nn.Module):
    """W' [M₁ Z₁, M₂ Z₂], [Z₁, Z₂] = gelu(W X̂): a gate that sees a grid and blocks, ``(B, C, *S)`` to the same shape.

    Args:
        channels: C.
        spatial_dims: Rank of S.
        side: Positions of a block along each axis, and cells of the grid.
    """

    def __init__(self, channels: int, spatial_dims: int, side: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.expand = Pointwise(channels, 2 * channels)
        self.grid = CellMix(side, spatial_dims, grid=True, bias=1.0)
        self.block = CellMix(side, spatial_dims, grid=False, bias=1.0)
        self.project = Pointwise(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The gate that ``(B, C, *S)`` makes for another map."""
        far, near = smooth(self.expand(self.norm(x))).chunk(2, 1)
        return self.project(torch.cat([self.grid(far), self.block(near)], 1))


class Side(nn.Module):
    """What either map goes through by itself: it is entered, and gives its values and the gate that they make.

    Args:
        in_channels: Channels that come.
        channels: C.
        spatial_dims: Rank of S.
        side: As of :class:`CellGate`.
    """

    def __init__(self, in_channels: int, channels: int, spatial_dims: int, side: int) -> None:
        super().__init__()
        self.enter = Pointwise(in_channels, channels)
        self.norm = ChannelNorm(channels)
        self.expand = Pointwise(channels, channels)
        self.gate = CellGate(channels, spatial_dims, side)
        self.project = Pointwise(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of ``(B, in_channels, *S)`` what passes by, the values, and the gate for the other, ``(B, C, *S)`` each."""
        entered = self.enter(x)
        values = smooth(self.expand(self.norm(entered)))
        return entered, values, self.gate(values)


class CrossGating(nn.Module):
    """X ⊙ gate(Y) and Y ⊙ gate(X): what is gathered on the way down, and what comes up from below, choose of the other.

    Args:
        in_channels: Channels of the map that is gathered.
        below: Channels of the map that comes from below, of half the size.
        channels: C.
        spatial_dims: Rank of S.
        side: Positions of a block along each axis, and cells of the grid.
    """

    def __init__(self, in_channels: int, below: int, channels: int, spatial_dims: int, side: int) -> None:
        super().__init__()
        self.up = UP[spatial_dims](below, channels, 2, 2)
        self.gathered = Side(in_channels, channels, spatial_dims, side)
        self.below = Side(channels, channels, spatial_dims, side)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Of ``(B, in_channels, *S)`` and ``(B, below, *S / 2)`` both as ``(B, C, *S)``, the second in the first."""
        kept_x, values_x, gate_x = self.gathered(x)
        kept_y, values_y, gate_y = self.below(self.up(y))
        y = kept_y + self.below.project(values_y * gate_x)
        return kept_x + self.gathered.project(values_x * gate_y) + y, y
