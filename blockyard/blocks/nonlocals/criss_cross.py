"""Criss-cross attention (CC): every position sees the lines through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.half_precision import ranged
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.graph_block import GraphBlock
from blockyard.blocks.nonlocals.operators import Operator


@dataclass(frozen=True)
class Lines(Operator):
    """Weights between positions on a common axis-parallel line: one ``(B, *S, S_a)`` for each axis a."""

    weights: tuple[Tensor, ...]

    def apply(self, z: Tensor) -> Tensor:
        """Sum over the lines; ``z: (B, C, N)``."""
        shape = self.weights[0].shape[1:-1]
        grid = z.unflatten(2, shape)
        total = torch.zeros_like(grid)
        for axis, weight in enumerate(self.weights):
            lines = grid.movedim(axis + 2, -1).movedim(1, -1)  # (B, *rest, S_a, C)
            summed = torch.matmul(weight.movedim(axis + 1, -2).to(z.dtype), lines)
            total = total + summed.movedim(-1, 1).movedim(-1, axis + 2)
        return total.flatten(2)

    def dense(self) -> Tensor:
        """Build the matrix, ``(B, N, N)``, with ΣS_a − rank + 1 entries a row that are not zero."""
        first = self.weights[0]
        identity = torch.eye(first.shape[1:-1].numel(), dtype=first.dtype, device=first.device)
        return self.apply(identity.expand(first.shape[0], -1, -1)).transpose(1, 2)


def line_softmax(query: Tensor, key: Tensor) -> Lines:
    """Return the softmax over all positions that share a line with a position, itself counted once.

    Args:
        query: ``(B, c, *S)``.
        key: ``(B, c, *S)``.
    """
    rank = query.dim() - 2
    scores = []
    for axis in range(rank):
        q, k = (a.movedim(axis + 2, -1).movedim(1, -1) for a in (query, key))  # (B, *rest, S_a, c)
        score = ranged(lambda q, k: torch.matmul(q, k.transpose(-1, -2)), q, k, terms=q.shape[-1])
        if axis < rank - 1:
            itself = torch.eye(score.shape[-1], dtype=torch.bool, device=score.device)
            score = score.masked_fill(itself, -torch.inf)
        scores.append(score.movedim(-2, axis + 1))
    joint = torch.cat(scores, -1).softmax(-1)
    return Lines(joint.split([score.shape[-1] for score in scores], -1))


class CrissCross(GraphBlock):
    """Y = X + γ A(X) X W_v, ``passes`` times with shared weights and a new affinity each time.

    In 2-D a position attends to its row and its column, H + W − 1 positions, in 3-D to three lines; in 1-D the
    only line is everything. Two passes reach every position of an image.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c, c the channels of queries and keys; values keep C channels.
        passes: How often the attention is repeated (R).

    Raises:
        ValueError: If ``reduction`` does not divide ``channels`` or ``passes`` is less than 1.
    """

    paper: ClassVar[str] = "Huang et al., CCNet: Criss-Cross Attention for Semantic Segmentation, ICCV 2019"

    def __init__(self, channels: int, spatial_dims: int = 2, *, reduction: int = 8, passes: int = 2) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "CrissCross")
        if passes < 1:
            raise ValueError(f"CrissCross: passes must be at least 1, got {passes}")
        self.query = Projection(channels, inner, spatial_dims, bias=True)
        self.key = Projection(channels, inner, spatial_dims, bias=True)
        self.value = Projection(channels, channels, spatial_dims, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1))
        # It adds q_i·b to all scores of position i, which a softmax does not see.
        self.without_effect = ("key.conv.bias",)
        self.passes = passes

    def operator(self, x: Tensor) -> Lines:
        """The weights of one pass over a map ``(B, C, *S)``, ``(B, N, N)`` but for zeros off the lines."""
        size = x.shape[2:]
        return line_softmax(self.query(x).unflatten(2, size), self.key(x).unflatten(2, size))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        for _ in range(self.passes):
            x = x + self.gamma * self.operator(x).apply(self.value(x)).reshape(x.shape)
        return x
