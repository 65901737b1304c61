"""Attention to a few points of several maps, wherever a query puts them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Size = tuple[int, int]


class MultiScaleDeformableAttention(nn.Module):
    """Each query ``(B, Q, C)`` looks at ``points`` places of each of ``levels`` maps, offsets from where it stands.

    Zhu et al., Deformable DETR: Deformable Transformers for End-to-End Object Detection, ICLR 2021. Places lie between
    pixels: values there are interpolated bilinearly, and zero outside of a map. At first all heads look at the pixels
    next to where they stand, each in a direction of its own, with equal weights.

    Args:
        channels: Channels C of queries and maps.
        levels: Maps L.
        num_heads: Heads M, each with C / M channels of the values.
        points: Places P that a head looks at in each map.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    def __init__(self, channels: int, levels: int, num_heads: int = 8, points: int = 4) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"num_heads={num_heads} must divide the {channels} channels")
        self.num_heads, self.levels, self.points = num_heads, levels, points
        self.offsets = nn.Linear(channels, num_heads * levels * points * 2)
        self.weights = nn.Linear(channels, num_heads * levels * points)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As the paper begins: head m's point p is p pixels away in direction 2πm/M, along a square."""
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)
        ring = directions[:, None, None] * steps[:, None]
        with torch.no_grad():
            self.offsets.bias.copy_(ring.expand(-1, self.levels, -1, -1).flatten())
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.weights.bias)
        for layer in (self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, queries: Tensor, places: Tensor, tokens: Tensor, sizes: Sequence[Size]) -> Tensor:
        """What the queries find, ``(B, Q, C)``.

        Args:
            queries: ``(B, Q, C)``, with what says where they stand.
            places: Where they stand, x and y from 0 to 1, ``(Q, 2)``; at least in single precision, as all that is
                computed of places is.
            tokens: The positions of all maps, row by row, one map behind the other, ``(B, N, C)``.
            sizes: Height and width of the maps, N pixels in all.
        """
        batch, count, _ = queries.shape
        points = (batch, count, self.num_heads, self.levels, self.points)
        offsets = self.offsets(queries).to(places.dtype).view(*points, 2)
        weights = self.weights(queries).to(places.dtype).view(*points[:3], -1).softmax(-1).view(points)
        values = self.value(tokens).to(places.dtype).unflatten(-1, (self.num_heads, -1))
        found = values.new_zeros(())
        for level, (value, size) in enumerate(zip(values.split([h * w for h, w in sizes], 1), sizes, strict=True)):
            per_pixel = offsets.new_tensor([size[1], size[0]]).reciprocal()
            where = places[:, None, None] + offsets[:, :, :, level] * per_pixel  # (B, Q, M, P, 2)
            maps = value.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, size)  # (B·M, C/M, h, w)
            grid = (2 * where - 1).transpose(1, 2).flatten(0, 1)
            seen = F.grid_sample(maps, grid, align_corners=False)  # (B·M, C/M, Q, P)
            found = found + (seen * weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)
        return self.out(found.unflatten(0, (batch, -1)).flatten(1, 2).transpose(1, 2).to(tokens.dtype))


def centres(sizes: Sequence[Size], like: Tensor) -> Tensor:
    """The middles of all pixels of maps, x and y from 0 to 1, ``(N, 2)``, in single precision at least."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    found = []
    for height, width in sizes:
        y = (torch.arange(height, device=like.device, dtype=dtype) + 0.5) / height
        x = (torch.arange(width, device=like.device, dtype=dtype) + 0.5) / width
        found.append(torch.stack(torch.broadcast_tensors(x, y[:, None]), -1).flatten(0, 1))
    return torch.cat(found)
