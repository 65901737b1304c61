"""Attention to a few places that each position chooses."""

from __future__ import annotations

from itertools import product
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide, positions
from blockyard.blocks.convolutions.convolution import LINEAR
from blockyard.blocks.mixers.pointwise import Pointwise


class SampledAttention(Block):
    """Y_i = W Σ_j softmax_j(q_i · k(p_ij) / √d + Σ_a q_i · r^a_{j − i_a}) v(p_ij), p_ij = i + δ_j + o_ij.

    δ_j are the 3^rank neighbours of i and i itself, o_ij = (V x_i)_j how far it looks aside of them, in each head. Keys
    and values between positions are interpolated, outside the map they are zero. r^a has a vector for each difference
    of a number j and a place along axis a; for other maps it is interpolated.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        head_width: d; C / d is the number of heads.
        size: Positions along each axis that r is made for; None is 14 along each.
        mirrored: Whether the scores along axis a are those of the position where it and the last axis have changed
            places, as in the published code, which forgets to change them back: its weights need that.

    Raises:
        ValueError: If ``head_width`` does not divide ``channels``, or ``size`` is not positive numbers, one an axis.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Zhang et al., Dynamic Graph Message Passing Networks for Visual Recognition, TPAMI 2022"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        head_width: int = 32,
        size: tuple[int, ...] | None = None,
        mirrored: bool = False,
    ) -> None:
        super().__init__(channels, spatial_dims)
        width = min(head_width, channels)
        self.heads = divide(channels, width, "SampledAttention", "head_width")
        self.samples, self.mirrored = 3**spatial_dims, mirrored
        self.qkv = Pointwise(channels, 3 * channels)
        self.offset = Pointwise(width, self.samples * spatial_dims)
        self.project = Pointwise(channels, channels)
        self.tables = nn.ParameterList(
            torch.randn(n + self.samples - 1, width) * width**-0.5
            for n in positions(size, spatial_dims, "SampledAttention")
        )

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        heads = (self.heads, self.channels // self.heads)
        query, key, value = self.qkv(x).unflatten(1, (3, *heads)).transpose(0, 1).flatten(1, 2).unbind(0)
        offset = self.offset(x.unflatten(1, heads).flatten(0, 1)).unflatten(1, (self.samples, -1))
        with torch.autocast(x.device.type, enabled=False):  # a place in half precision would be another one
            parts = query, key, value, offset
            query, key, value, offset = (part if part.itemsize > 2 else part.float() for part in parts)
            key, value = sample(torch.cat([key, value], 1), _neighbours(offset) + offset).chunk(2, 1)
            scores = torch.einsum("bd...,bdj...->bj...", query, key) * query.shape[1] ** -0.5
            mixed = torch.einsum("bj...,bdj...->bd...", (scores + self._by_place(query)).softmax(1), value)
        return self.project(mixed.unflatten(0, (x.shape[0], self.heads)).flatten(1, 2).to(x.dtype))

    def _by_place(self, query: Tensor) -> Tensor:
        """What each position's samples score by where it lies, ``(B, d, *S)`` to ``(B, 3^rank, *S)``."""
        total: Tensor | None = None
        size, last = query.shape[2:], query.dim() - 1
        for axis, table in enumerate(self.tables, 2):
            n = query.shape[axis]
            wide = table.to(query.dtype).t()[None]
            vectors = F.interpolate(wide, n + self.samples - 1, mode="linear")[0]
            place = torch.arange(n, device=query.device)
            vectors = vectors[:, n - 1 - place[:, None] + torch.arange(self.samples, device=query.device)]
            scores = torch.einsum("bd...n,dnj->bj...n", query.transpose(axis, last), vectors)
            if not self.mirrored:
                scores = scores.transpose(axis, last)
            elif axis != last:
                scores = F.interpolate(scores, size, mode=LINEAR[len(size)])
            total = scores if total is None else total + scores
        assert total is not None
        return total


def _neighbours(like: Tensor) -> Tensor:
    """Places of each position's neighbours, ``(3^rank, rank, *S)``; like offsets, ``(B, 3^rank, rank, *S)``."""
    size = like.shape[3:]
    options: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    here = torch.stack(torch.meshgrid(*(torch.arange(n, **options) for n in size), indexing="ij"))
    aside = torch.tensor(list(product((-1, 0, 1), repeat=len(size))), **options)
    return here + aside.view(*aside.shape, *(1,) * len(size))


def sample(x: Tensor, places: Tensor) -> Tensor:
    """What lies at places of a map, linearly interpolated; outside it is zero.

    Args:
        x: ``(B, C, *S)``.
        places: In positions along each axis of S, ``(B, J, rank, *N)``.

    Returns:
        ``(B, C, J, *N)``.
    """
    *_, count = size = x.shape[2:]
    if len(size) == 1:  # a line is a picture of one row, and lies in its middle
        x, places, size = x.unsqueeze(2), torch.cat([torch.zeros_like(places), places], 2), torch.Size((1, count))
    # from -1 at the outer edge of the first position to 1 at that of the last, the last axis first
    grid = torch.stack([(2 * places[:, :, axis] + 1) / size[axis] - 1 for axis in reversed(range(len(size)))], -1)
    grid = grid.flatten(2, -2)
    found = F.grid_sample(x, grid.unsqueeze(3) if len(size) == 3 else grid, align_corners=False)
    return found.view(*x.shape[:2], places.shape[1], *places.shape[3:])
