"""Self-attention of which a part, learned for each head, goes by where positions lie alone."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide
from blockyard.blocks.mixers.self_attention import attend


class GatedPositionalAttention(Block):
    """Y = W [(1 − σ(λ)) softmax(q kᵀ / √d) v + σ(λ) softmax(u · r) v]_heads (GPSA).

    r holds the offset δ between two positions along each axis, and ‖δ‖². As that is a sum over the axes, the second
    softmax is a product of one for each axis: positions are mixed line by line, in N (n₁ + n₂ + …) products and not N².
    At first each head looks at one neighbour, α its sharpness: with a gate of one and α without bound, k² heads are a
    convolution of k × k taps, its map continued at the border by its last positions.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        heads: Number of heads, of d = C / heads channels each.
        locality: α.
        qkv_bias: Whether queries, keys and values have a bias.

    Raises:
        ValueError: If ``heads`` does not divide ``channels``.
    """

    identity_at_init = False
    own_init: ClassVar[bool] = True
    slot: ClassVar[Slot] = "mixer"
    without_effect = ("position.bias",)  # the same for all that a softmax goes over
    paper: ClassVar[str] = (
        "d'Ascoli et al., ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases, ICML 2021"
    )

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, heads: int = 4, locality: float = 1.0, qkv_bias: bool = False
    ) -> None:
        super().__init__(channels, spatial_dims)
        divide(channels, heads, "GatedPositionalAttention", "heads")
        self.heads = heads
        self.qk = nn.Linear(channels, 2 * channels, bias=qkv_bias)
        self.value = nn.Linear(channels, channels, bias=qkv_bias)
        self.project = nn.Linear(channels, channels)
        self.position = nn.Linear(spatial_dims + 1, heads)
        self.gate = nn.Parameter(torch.ones(heads))
        with torch.no_grad():
            for layer in (self.qk, self.project):
                nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(self.project.bias)
            nn.init.eye_(self.value.weight)
            # the last axis first, as in the published weights
            rows = [[*(2 * step for step in reversed(offset)), -1.0] for offset in _neighbours(heads, spatial_dims)]
            self.position.weight.copy_(locality * torch.tensor(rows))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        size, tokens = x.shape[2:], x.flatten(2).transpose(1, 2)
        query, key = self.qk(tokens).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        value = self.value(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
        gate = self.gate.sigmoid()[:, None, None]
        mixed = (1 - gate) * attend(query, key, value) + gate * self._by_position(value, size)
        return self.project(mixed.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(2, size)

    def _by_position(self, value: Tensor, size: torch.Size) -> Tensor:
        """The second softmax's mean of ``(B, h, N, d)``."""
        grid = value.unflatten(2, size)
        for axis, weights in enumerate(self.along_axes(size)):
            between = (None,) * (len(size) - 1)
            grid = (weights[:, *between] @ grid.movedim(2 + axis, -2)).movedim(-2, 2 + axis)
        return grid.flatten(2, 1 + len(size))

    def along_axes(self, size: torch.Size) -> list[Tensor]:
        """What each position of an axis takes of each, ``(h, n, n)`` for each axis of n positions, rows of sum one."""
        found, rank = [], len(size)
        *slopes, curvature = self.position.weight.unbind(1)
        for axis, n in enumerate(size):
            place = torch.arange(n, device=curvature.device, dtype=curvature.dtype)
            offset = place - place[:, None]
            scores = slopes[rank - 1 - axis][:, None, None] * offset + curvature[:, None, None] * offset.square()
            if axis == 0:
                scores = scores + self.position.bias[:, None, None]
            found.append(scores.softmax(2))
        return found


def _neighbours(heads: int, rank: int) -> list[tuple[float, ...]]:
    """Offsets of a cube's places from its middle, as many as there are heads, the nearest ones."""
    side = next(n for n in range(1, heads + 1) if n**rank >= heads)
    places = product(*[[place - (side - 1) / 2 for place in range(side)]] * rank)
    return sorted(places, key=lambda offset: sum(step**2 for step in offset))[:heads]
