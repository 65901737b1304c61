"""Multi-head attention with positions along each axis, over the whole map (BoTNet)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide, positions
from blockyard.blocks.half_precision import ranged
from blockyard.blocks.nonlocals.affinities import Projection


class RelativeAttention(Block):
    """Y_i = Σ_j softmax_j(q_i · (k_j + r_{j−i}) / √d) v_j in each of h heads, d = C / h channels each.

    r is a sum of one vector for the offset along each axis; heads share them. The paper's BoT-S1-50 has the block in
    place of ``layer4.*.conv2``, with stride 1 in the last stage. On maps of another size than the tables were made
    for these are interpolated, so that the border of the map keeps its meaning.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        heads: h.
        position: ``relative`` as above, or ``absolute``: the key at j gets a vector for j instead.
        size: Positions along each axis that the tables are made for, S at the network's input; ``plug`` hands it
            over. None is 14 along each axis, the paper's.

    Raises:
        ValueError: If ``heads`` does not divide ``channels`` or ``size`` does not fit the rank.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "convolution"
    paper: ClassVar[str] = "Srinivas et al., Bottleneck Transformers for Visual Recognition, CVPR 2021"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        heads: int = 4,
        position: Literal["relative", "absolute"] = "relative",
        size: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims)
        width = divide(channels, heads, "RelativeAttention", "heads")
        size = positions(size, spatial_dims, "RelativeAttention")
        lengths = [2 * n - 1 for n in size] if position == "relative" else size
        self.qkv = Projection(channels, 3 * channels, spatial_dims)
        self.tables = nn.ParameterList(torch.randn(length, width) * width**-0.5 for length in lengths)
        # One vector for a whole axis adds the same to all scores of a row, which a softmax does not see.
        self.without_effect = tuple(f"tables.{axis}" for axis, n in enumerate(size) if n == 1)
        self.heads = heads
        self.position = position

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        size = x.shape[2:]
        heads = self.qkv(x).unflatten(1, (3, self.heads, -1)).transpose(3, 4)
        query, key, value = heads.unbind(1)  # (B, h, N, d)
        query = query * query.shape[-1] ** -0.5
        if self.position == "absolute":
            scores = scores_of(query, key + self._absolute(size))
        else:
            along_axes = relative_logits(query.unflatten(2, size), self._relative(size))
            scores = scores_of(query, key) + along_axes.flatten(2, len(size) + 1).flatten(3)
        attention = scores.softmax(-1).to(value.dtype)
        return (attention @ value).transpose(2, 3).reshape(x.shape)

    def _absolute(self, size: torch.Size) -> Tensor:
        """A vector for every position, ``(N, d)``."""
        rank = len(size)
        tables = [_resize(table, n) for table, n in zip(self.tables, size, strict=True)]
        grid = sum(table[(...,) + (None,) * (rank - 1 - a) + (slice(None),)] for a, table in enumerate(tables))
        return torch.as_tensor(grid).flatten(0, rank - 1)

    def _relative(self, size: torch.Size) -> list[Tensor]:
        """For each axis the vectors of the offsets from each position to each, ``(S_a, S_a, d)``."""
        vectors = []
        for table, n in zip(self.tables, size, strict=True):
            place = torch.arange(n, device=table.device)
            vectors.append(_resize(table, 2 * n - 1)[place[None] - place[:, None] + n - 1])
        return vectors


def scores_of(query: Tensor, key: Tensor) -> Tensor:
    """The products of queries ``(B, ..., N, d)`` and keys ``(B, ..., M, d)``, ``(B, ..., N, M)``."""
    return ranged(lambda query, key: query @ key.transpose(-1, -2), query, key, terms=query.shape[-1])


def relative_logits(query: Tensor, vectors: list[Tensor]) -> Tensor:
    """Scores from offsets, added up over the axes.

    Args:
        query: ``(..., *Q, d)``, Q the positions along each axis.
        vectors: For each axis ``(Q_a, K_a, d)``, the vectors from each query's to each key's position.

    Returns:
        ``(..., *Q, *K)``.
    """
    rank = len(vectors)
    total: Tensor | None = None
    for axis, table in enumerate(vectors):
        lines = query.movedim(-1 - rank + axis, -2)  # (..., *rest, Q_a, d)
        logits = ranged(partial(_along_axis, table=table), lines, terms=query.shape[-1]).movedim(-2, -1 - rank + axis)
        spread = logits[(..., *((slice(None) if a == axis else None) for a in range(rank)))]
        total = spread if total is None else total + spread
    assert total is not None
    return total


def _along_axis(lines: Tensor, table: Tensor) -> Tensor:
    return torch.einsum("...qd,qkd->...qk", lines, table.to(lines.dtype))


def _resize(table: Tensor, length: int) -> Tensor:
    """Interpolate a table ``(L, d)`` along its first axis; ends stay ends."""
    wide = table.float() if table.itemsize < 4 else table
    resized = F.interpolate(wide.t()[None], length, mode="linear", align_corners=True)
    return resized[0].t().to(table.dtype)
