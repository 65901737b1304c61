"""The two modules of DANet: attention between positions and between channels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, divide
from blockyard.blocks.nonlocals.affinities import PairwiseAffinity, Projection
from blockyard.blocks.nonlocals.graph_block import GraphBlock
from blockyard.blocks.nonlocals.operators import Dense, Evaluation, Operator, full_precision_product


class PositionAttention(GraphBlock):
    """Y = X + γ softmax(Q Kᵀ) X W_v: a nonlocal block with full-width values, no output and a scalar gate.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c, c the channels of queries and keys; values keep C channels. Scores are not scaled.
        evaluation: How A is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``.
    """

    paper: ClassVar[str] = "Fu et al., Dual Attention Network for Scene Segmentation, CVPR 2019"

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, reduction: int = 8, evaluation: Evaluation = "auto"
    ) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "PositionAttention")
        self.affinity = PairwiseAffinity(channels, inner, spatial_dims, scale=1.0, bias=True, evaluation=evaluation)
        self.value = Projection(channels, channels, spatial_dims, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1))

    def operator(self, x: Tensor) -> Operator:
        """The softmax of the scores of a map ``(B, C, *S)``, ``(B, N, N)``."""
        operator: Operator = self.affinity(x)
        return operator

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return x + self.gamma * self.operator(x).apply(self.value(x)).reshape(x.shape)


class ChannelAttention(Block):
    """Y = X + γ A X with channels as vertices, A = softmax(rowmax(E) − E), E = X Xᵀ the channels' Gram matrix.

    The softmax of the negated scores attends to the channels that are *least* alike: so it is in the authors'
    code, though not in their paper. The only parameter is γ.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
    """

    paper: ClassVar[str] = "Fu et al., Dual Attention Network for Scene Segmentation, CVPR 2019"

    def __init__(self, channels: int, spatial_dims: int = 2) -> None:
        super().__init__(channels, spatial_dims)
        self.gamma = nn.Parameter(torch.zeros(1))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        features = x.flatten(2)
        # Signals are channels first, so with channels as vertices the positions are the signal's channels.
        mixed = self.affinity(features).apply(features.transpose(1, 2)).transpose(1, 2)
        return x + self.gamma * mixed.reshape(x.shape)

    def affinity(self, features: Tensor) -> Dense:
        """Return the operator over channels of ``features: (B, C, N)``."""
        # The Gram matrix sums N squares, too much for half precision.
        gram = full_precision_product(features.transpose(1, 2), features.transpose(1, 2))
        # softmax ignores the row's maximum that the authors subtract from.
        return Dense((-gram).softmax(2))
