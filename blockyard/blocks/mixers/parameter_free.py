"""Mixers that learn nothing: what the skeleton around them does alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from blockyard.blocks.base import Block, Slot, positions

_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class IdentityMixer(Block):
    """Y = x: positions hear nothing of each other.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
    """

    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Yu et al., MetaFormer Baselines for Vision, TPAMI 2024"

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to itself."""
        return x.clone()


class PoolMixer(Block):
    """Y = mean of a window around each position − x; beyond the border there is nothing to average.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        window: Positions of the window along each axis, odd.

    Raises:
        ValueError: If the window is not odd and positive.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Yu et al., MetaFormer Is Actually What You Need for Vision, CVPR 2022"

    def __init__(self, channels: int, spatial_dims: int = 2, *, window: int = 3) -> None:
        super().__init__(channels, spatial_dims)
        if window < 1 or window % 2 == 0:
            raise ValueError(f"PoolMixer: window must be odd and positive, got {window}")
        self.window = window

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        # torch 2.13 pools volumes on a CPU in float32 and float64 only
        wide = x.float() if x.dim() == 5 and x.dtype.itemsize == 2 and x.device.type == "cpu" else x
        return self._means(wide).to(x.dtype) - x

    def _means(self, x: Tensor) -> Tensor:
        pool, border = _POOLS[self.spatial_dims], self.window // 2
        if x.dim() != 5 or min(x.shape[2:]) >= self.window:
            return pool(x, self.window, 1, border, count_include_pad=False)
        # Short clips: torch 2.13 holds a volume without its padding against the window, and refuses what is smaller.
        beside = 3 * [border, border]
        shares = pool(F.pad(torch.ones_like(x[:1, :1]), beside), self.window, 1)
        return pool(F.pad(x, beside), self.window, 1) / shares


class RandomMixer(Block):
    """Y = R x over the positions, R a random stochastic matrix ``(N, N)`` that is never trained.

    On maps of another size than it was drawn for, each position is taken for the nearest one there.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        size: Positions along each axis, S; the skeletons and ``plug`` hand it over. None is 14 along each axis.

    Raises:
        ValueError: If ``size`` does not fit the rank.
    """

    identity_at_init = False
    matrix: Tensor
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Yu et al., MetaFormer Baselines for Vision, TPAMI 2024"

    def __init__(self, channels: int, spatial_dims: int = 2, *, size: tuple[int, ...] | None = None) -> None:
        super().__init__(channels, spatial_dims)
        self.size = positions(size, spatial_dims, "RandomMixer")
        n = math.prod(self.size)
        self.register_buffer("matrix", torch.rand(n, n).softmax(-1))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        matrix = self.matrix if tuple(x.shape[2:]) == self.size else self._at(x.shape[2:])
        return (x.flatten(2) @ matrix.t()).reshape(x.shape)

    def _at(self, size: Sequence[int]) -> Tensor:
        """The matrix for maps of another size: of each position that which lies nearest, rows of sum one again."""
        nearest = torch.zeros((), dtype=torch.long, device=self.matrix.device)
        for n, m in zip(self.size, size, strict=True):
            nearest = nearest[..., None] * n + torch.arange(m, device=self.matrix.device) * n // m
        matrix = self.matrix[nearest.flatten()][:, nearest.flatten()]
        return matrix / matrix.sum(1, keepdim=True)
