"""Disentangled nonlocal block (DNL): a whitened pairwise term and a unary term."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.filters import GraphFilterBlock, PolynomialFilter
from blockyard.blocks.nonlocals.kernel_operators import Softmax
from blockyard.blocks.nonlocals.operators import Evaluation, LowRank, Operator, Sum, densify


class DisentangledAffinity(nn.Module):
    """A = softmax of whitened scores + 1 mᵀ, ``(B, N, N)``, m = softmax of one saliency a position: rows sum to two."""

    def __init__(
        self, channels: int, inner: int, spatial_dims: int, temperature: float, evaluation: Evaluation
    ) -> None:
        super().__init__()
        self.theta = Projection(channels, inner, spatial_dims)
        self.phi = Projection(channels, inner, spatial_dims)
        self.mask = Projection(channels, 1, spatial_dims)
        self.scale = inner**-0.5 / temperature
        self.evaluation: Evaluation = evaluation

    def forward(self, x: Tensor) -> Operator:
        """Return the operator of a map ``(B, C, *S)``."""
        query, key = (signal - signal.mean(2, keepdim=True) for signal in (self.theta(x), self.phi(x)))
        mask = self.mask(x).softmax(2)
        pairwise = densify(
            Softmax(query, key, self.scale), self.evaluation, vertices=key.shape[2], below=2 * key.shape[1]
        )
        return Sum(pairwise, LowRank(torch.ones_like(mask), mask))


class DisentangledNonlocal(GraphFilterBlock):
    """Y = X + BN(A Z W), A the sum of a whitened pairwise and a unary affinity.

    Both terms share one output and its zero-initialised norm, so the block starts as the identity; the authors'
    own unary term is not gated.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c.
        temperature: Divides the scores, besides c^1/2.
        evaluation: How the pairwise term is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``.
    """

    paper: ClassVar[str] = "Yin et al., Disentangled Non-Local Neural Networks, ECCV 2020"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        temperature: float = 1.0,
        reduction: int = 2,
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "DisentangledNonlocal")
        self.affinity = DisentangledAffinity(channels, inner, spatial_dims, temperature, evaluation)
        value = Projection(channels, inner, spatial_dims)
        self.filters = nn.ModuleList([PolynomialFilter(channels, value, inner, tying="nonlocal")])
