"""Asymmetric pyramid nonlocal block (APNB): keys and values are a few pooled tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.graph_block import GraphBlock
from blockyard.blocks.nonlocals.kernel_operators import Softmax
from blockyard.blocks.nonlocals.operators import Pooled


class AsymmetricNonlocal(GraphBlock):
    """Y = X + softmax(Q K_Sᵀ / √c) Z_S W, K_S and Z_S pooled to S = Σ bins^rank tokens (110 in 2-D).

    Queries and keys share one projection with norm and ReLU. The output starts at zero. The authors' network then
    concatenates the context with X; a block keeps its shape, so it adds.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c.
        bins: Cells along every axis, one pyramid level each.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``.
    """

    paper: ClassVar[str] = "Zhu et al., Asymmetric Non-local Neural Networks for Semantic Segmentation, ICCV 2019"

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, reduction: int = 2, bins: Sequence[int] = (1, 3, 6, 8)
    ) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "AsymmetricNonlocal")
        self.key = Projection(channels, inner, spatial_dims, bias=True)
        self.key_norm = nn.BatchNorm1d(inner)
        self.value = Projection(channels, inner, spatial_dims, bias=True)
        self.out = nn.Conv1d(inner, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
        self.bins = tuple(bins)
        # A batch norm follows the bias; a softmax over a single token is one whatever its score.
        self.without_effect = ("key*",) if self.bins == (1,) else ("key.conv.bias",)

    def operator(self, x: Tensor) -> Pooled:
        """The softmax over the M tokens of a map ``(B, C, *S)``, ``(B, N, M)``, and the pooling that makes them."""

        def pool(signal: Tensor) -> Tensor:
            return self.pyramid(signal.unflatten(2, x.shape[2:]))

        query = self.key_norm(self.key(x)).relu()
        return Pooled(Softmax(query, pool(query), query.shape[1] ** -0.5), pool, query)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        context = self.operator(x).apply(self.value(x))
        return x + self.out(context).reshape(x.shape)

    def pyramid(self, x: Tensor) -> Tensor:
        """Average-pool ``(B, c, *S)`` to every level's cells, ``(B, c, Σ bins^rank)``."""
        pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self.spatial_dims - 1]
        return torch.cat([pool(x, cells).flatten(2) for cells in self.bins], 2)
