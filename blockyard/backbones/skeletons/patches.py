"""From an input to a grid of patches, each with what says where it lies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.skeletons.parts import LayerNorm
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS, init_like_convolution
from blockyard.blocks.mixers.pointwise import Pointwise

MODES = {1: "linear", 2: "bicubic", 3: "trilinear"}
"""How a map is brought to another size, by rank."""


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
        x = tiled(x, self.patch)
        return self.norm2(self.project(self.norm1(self._rows(x)))) if self.normed else self.project(x)

    def _rows(self, x: Tensor) -> Tensor:
        """The values of each patch as channels, position by position, ``(B, C patch^rank, *S / patch)``."""
        rank = x.dim() - 2
        for axis in range(rank):
            x = x.unflatten(2 + 2 * axis, (-1, self.patch))
        inside, grid = [3 + 2 * axis for axis in range(rank)], [2 + 2 * axis for axis in range(rank)]
        return x.permute(0, *inside, 1, *grid).flatten(1, 1 + rank)


class MultiScalePatches(nn.Module):
    """The sum of a linear map of each patch for patches of several sizes around the same places.

    It maps ``(B, in_channels, *S)`` to ``(B, channels, *⌈S / smallest⌉)``. The smallest patches tile the input, and
    beyond it are zeros.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the grid.
        spatial_dims: Rank of S.
        patches: Positions of the patches of each size along each axis.

    Raises:
        ValueError: If a size is not positive, or not the smallest and an even number more.
    """

    def __init__(self, in_channels: int, channels: int, spatial_dims: int, patches: Sequence[int]) -> None:
        super().__init__()
        if not patches or min(patches) < 1 or any((patch - min(patches)) % 2 for patch in patches):
            raise ValueError(f"RaftMLP: patches must be positive and differ by even numbers, got {list(patches)}")
        self.patch, conv = min(patches), CONVOLUTIONS[spatial_dims]
        convs = [
            conv(in_channels, channels, patch, self.patch, (patch - self.patch) // 2, bias=number == 0)
            for number, patch in enumerate(patches)
        ]
        values = in_channels * sum(patch**spatial_dims for patch in patches)
        for part in convs:
            init_like_convolution(part.weight, part.bias, values)
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        """Map an input to its grid."""
        x = tiled(x, self.patch)
        first, *others = [conv(x) for conv in self.convs]
        return sum(others, first)


def tiled(x: Tensor, patch: int) -> Tensor:
    """A map ``(B, C, *S)`` continued by zeros until patches tile it, ``(B, C, *patch ⌈S / patch⌉)``."""
    missing = [-n % patch for n in x.shape[2:]]
    return F.pad(x, [side for n in reversed(missing) for side in (0, n)]) if any(missing) else x


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

    def forward(self, x: Tensor) -> Tensor:
        """Add those of the places to what lies there, ``(B, C, *S)``."""
        return x + self.grid(x.shape[2:])

    def grid(self, size: Sequence[int]) -> Tensor:
        """Those of the places of a grid, ``(1, C, *size)``."""
        table = self.table[:, self.first :].transpose(1, 2).unflatten(2, self.size)
        if tuple(size) == self.size:
            return table
        smooth = {"antialias": True} if len(self.size) == 2 else {}
        return F.interpolate(table, tuple(size), mode=MODES[len(self.size)], **smooth)

    def tokens(self) -> Tensor:
        """Those of what stands before it, ``(1, first, C)``."""
        return self.table[:, : self.first]
