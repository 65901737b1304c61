"""From an input to a grid of patches, each with what says where it lies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.skeletons.parts import LayerNorm
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.mixers.pointwise import Pointwise

_MODES = {1: "linear", 2: "bicubic", 3: "trilinear"}


class Patches(nn.Module):
    """A linear map of each patch, ``(B, in_channels, *S)`` to ``(B, channels, *⌈S / patch⌉)``.

    An input that patches do not tile is continued by zeros.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the grid.
        spatial_dims: Rank of S.
        patch: Positions of a patch along each axis.
        norm_eps: If given, a norm of each patch stands before the map and one over channels behind, which add this to
            a variance.

    Raises:
        ValueError: If ``patch`` is not positive.
    """

    def __init__(
        self, in_channels: int, channels: int, spatial_dims: int, patch: int, norm_eps: float | None = None
    ) -> None:
        super().__init__()
        if patch < 1:
            raise ValueError(f"Isotropic: patch must be at least 1, got {patch}")
        self.patch, self.normed = patch, norm_eps is not None
        if norm_eps is None:
            self.project: nn.Module = CONVOLUTIONS[spatial_dims](in_channels, channels, patch, patch)
        else:
            values = in_channels * patch**spatial_dims
            self.norm1 = LayerNorm(values, norm_eps)
            self.project = Pointwise(values, channels)
            self.norm2 = LayerNorm(channels, norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map an input to its grid."""
        missing = [-n % self.patch for n in x.shape[2:]]
        if any(missing):
            x = F.pad(x, [side for n in reversed(missing) for side in (0, n)])
        return self.norm2(self.project(self.norm1(self._rows(x)))) if self.normed else self.project(x)

    def _rows(self, x: Tensor) -> Tensor:
        """The values of each patch as channels, position by position, ``(B, C patch^rank, *S / patch)``."""
        rank = x.dim() - 2
        for axis in range(rank):
            x = x.unflatten(2 + 2 * axis, (-1, self.patch))
        inside, grid = [3 + 2 * axis for axis in range(rank)], [2 + 2 * axis for axis in range(rank)]
        return x.permute(0, *inside, 1, *grid).flatten(1, 1 + rank)


class Positions(nn.Module):
    """A learned vector for each place of a grid, added to what lies there; interpolated for grids of another size.

    Args:
        channels: Channels C.
        size: Places along each axis.
        first: Vectors of what stands before the grid once it is tokens, such as a class token.
    """

    def __init__(self, channels: int, size: Sequence[int], first: int = 0) -> None:
        super().__init__()
        self.size, self.first = tuple(size), first
        self.table = nn.Parameter(torch.empty(1, first + math.prod(size), channels))
        nn.init.trunc_normal_(self.table, std=0.02)

    def grid(self, size: Sequence[int]) -> Tensor:
        """Those of the places of a grid, ``(1, C, *size)``."""
        table = self.table[:, self.first :].transpose(1, 2).unflatten(2, self.size)
        if tuple(size) == self.size:
            return table
        smooth = {"antialias": True} if len(self.size) == 2 else {}
        return F.interpolate(table, tuple(size), mode=_MODES[len(self.size)], **smooth)

    def tokens(self) -> Tensor:
        """Those of what stands before it, ``(1, first, C)``."""
        return self.table[:, : self.first]
