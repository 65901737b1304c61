"""Attention that bridges representations of objects: positions ask the corners and centres of boxes."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

TEMPERATURE = 1000.0
"""Ratio of the longest wave of an embedding to the shortest, but for the step between two."""
QUERIES = 2048
"""Positions that ask at once, of a picture; for all, what each key counts is as large as several maps."""


class Keys(NamedTuple):
    """What is asked.

    Attributes:
        features: ``(B, K, C)``.
        places: ``(B, K, 2)``: x and y, in cells of the finest map.
    """

    features: Tensor
    places: Tensor


class LocationEmbedding(nn.Module):
    """How much a key counts for a query by where it lies, G(Δx, Δy): ``(B, heads, H · W, K)``.

    G is linear in sines and cosines of both distances, so it is the sum of a function of Δx and one of Δy, and queries
    on a grid of H×W need it for H + W distances to each key. The released code reads it from a table of 401×401 places,
    between which it interpolates; the sum is exact, and smaller.

    Args:
        heads: Heads.
        width: Sines and cosines of a distance.
    """

    waves: Tensor

    def __init__(self, heads: int, width: int = 128) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, heads, width))
        """Of Δx and of Δy."""
        self.bias = nn.Parameter(torch.zeros(heads))
        nn.init.normal_(self.weight, std=0.01)
        steps = torch.arange(width // 2) * 2 / width
        self.register_buffer("waves", TEMPERATURE**-steps, persistent=False)

    def along(self, axis: int, distance: Tensor) -> Tensor:
        """The part of one axis, ``(B, heads, n, K)``, of distances ``(B, n, K)``; 0 is x."""
        angles = distance[..., None] * self.waves
        return (torch.cat([angles.sin(), angles.cos()], -1) @ self.weight[axis].T).movedim(-1, 1)

    def forward(self, rows: Tensor, columns: Tensor, places: Tensor) -> Tensor:
        """G of queries on a grid, ``(B, heads, H · W, K)``.

        Args:
            rows: y of the grid's rows, ``(H,)``.
            columns: x of its columns, ``(W,)``.
            places: Those of the keys, ``(B, K, 2)``.
        """
        return self.over(*self.parts(rows, columns, places))

    def parts(self, rows: Tensor, columns: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """What G is the sum of, ``(B, heads, H, K)`` and ``(B, heads, W, K)``; the arguments are those of a call."""
        down = self.along(1, places[:, None, :, 1] - rows[:, None])
        return down, self.along(0, places[:, None, :, 0] - columns[:, None])

    def over(self, down: Tensor, across: Tensor) -> Tensor:
        """G ``(B, heads, H · W, K)`` of both parts, ``(B, heads, H, K)`` and ``(B, heads, W, K)``."""
        grid = down[:, :, :, None] + across[:, :, None] + self.bias.view(-1, 1, 1, 1)
        return grid.flatten(2, 3)


class BridgingAttention(nn.Module):
    """X ← relu(X + Σ_kinds W_o softmax(Q Kᵀ / √d + log max(G, 10⁻⁶)) V): a map ``(B, C, H, W)`` asks keys.

    G is :class:`LocationEmbedding`, one for all kinds; W_o starts at zero, so that behind a ReLU a fresh one changes
    nothing.

    Args:
        channels: Channels C.
        kinds: Kinds of keys, each with weights of its own.
        heads: Heads.

    Raises:
        ValueError: If ``heads`` does not divide ``channels``.
    """

    paper: ClassVar[str] = (
        "Chi et al., RelationNet++: Bridging Visual Representations for Object Detection via Transformer Decoder, "
        "NeurIPS 2020"
    )

    def __init__(self, channels: int, kinds: int, heads: int = 8) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"BridgingAttention: heads={heads} must divide {channels} channels")
        self.heads = heads
        self.location = LocationEmbedding(heads)
        self.queries = nn.ModuleList(nn.Linear(channels, channels) for _ in range(kinds))
        self.keys = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(kinds))
        self.out = nn.ModuleList(nn.Linear(channels, channels) for _ in range(kinds))
        for layer in self.out:
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, cells: float, keys: list[Keys]) -> Tensor:
        """What a map ``(B, C, H, W)`` becomes.

        Args:
            x: The map.
            cells: Cells of the finest map along an axis for one of it.
            keys: Of each kind.
        """
        rows, columns = (torch.arange(n, device=x.device) * cells for n in x.shape[2:])
        flat = x.flatten(2).transpose(1, 2)
        found = torch.zeros_like(flat)
        for kind, (features, places) in enumerate(keys):
            query = self._by_head(self.queries[kind](flat))
            key, value = (self._by_head(part) for part in self.keys[kind](features).chunk(2, 2))
            mixed = self._asked(query, key, value, *self.location.parts(rows, columns, places))
            found = found + self.out[kind](mixed)
        return F.relu(x + found.transpose(1, 2).reshape(x.shape))

    def _asked(self, query: Tensor, key: Tensor, value: Tensor, down: Tensor, across: Tensor) -> Tensor:
        """What queries ``(B, heads, H · W, d)`` get of ``(B, heads, K, d)``: ``(B, H · W, C)``.

        Some rows of the grid after the other, and each again for its gradients: no G or share of all positions is kept.
        """
        width, found = across.shape[2], []
        rows = max(1, QUERIES // width)
        for some, queries in zip(down.split(rows, 2), query.split(rows * width, 2), strict=True):
            given = queries, key, value, some, across
            if torch.is_grad_enabled():
                found.append(checkpoint(self._mixed, *given, use_reentrant=False, preserve_rng_state=False))
            else:
                found.append(self._mixed(*given))
        return torch.cat(found, 1)

    def _mixed(self, query: Tensor, key: Tensor, value: Tensor, down: Tensor, across: Tensor) -> Tensor:
        weight = self.location.over(down, across).clamp(min=1e-6).log().to(query.dtype)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=weight).transpose(1, 2).flatten(2)

    def _by_head(self, x: Tensor) -> Tensor:
        """``(B, n, C)`` as ``(B, heads, n, C / heads)``."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
