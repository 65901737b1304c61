"""Adaptive hops (DAGNN): a polynomial filter whose coefficients each vertex chooses for itself."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.half_precision import ranged
from blockyard.blocks.nonlocals.affinities import PairwiseAffinity, Projection, SymmetricAffinity
from blockyard.blocks.nonlocals.filters import GraphFilterBlock, zero_batch_norm
from blockyard.blocks.nonlocals.operators import Evaluation, Operator

HopKernel = Literal["dot", "exp", "relu", "sigmoid", "gaussian", "embedded_gaussian"]
"""Affinities whose eigenvalues are at most 1 in size, so that no power of them grows: those of the spectral block, and
the two row-softmaxes of the nonlocal one."""


class HopSum(nn.Module):
    """Σ_k σ(H_k s) H_k over the hops H_k = A^k Z, k = 0 … K, Z ``(B, c, N)``, any operator A, one s.

    Args:
        inner: Channels c of the signal.
        order: K ≥ 0.

    Raises:
        ValueError: If ``order`` is negative.
    """

    def __init__(self, inner: int, order: int) -> None:
        super().__init__()
        if order < 0:
            raise ValueError(f"HopSum: order must not be negative, got {order}")
        self.order = order
        self.score = nn.Conv1d(inner, 1, 1, bias=False)

    def forward(self, operator: Operator, z: Tensor) -> Tensor:
        """Sum the hops of ``z: (B, c, N)`` with K applications of A, ``(B, c, N)``."""
        total = self.retained(z) * z
        for _ in range(self.order):
            z = operator.apply(z)
            total = total + self.retained(z) * z
        return total

    def retained(self, hop: Tensor) -> Tensor:
        """What each vertex keeps of a hop ``(B, c, N)``: scores in (0, 1), ``(B, 1, N)``."""
        return torch.sigmoid(ranged(self.score, hop, terms=hop.shape[1])).to(hop.dtype)


class AdaptiveFilter(nn.Module):
    """``norm(F(A, Z) W)``, ``(B, C, *S)``, with F a sum of hops that each vertex weighs for itself.

    Args:
        channels: Channels C of the map.
        value: Projection of the map to the signal Z.
        inner: Channels c of the signal.
        order: K.
    """

    def __init__(self, channels: int, value: Projection, inner: int, order: int) -> None:
        super().__init__()
        self.value = value
        self.hops = HopSum(inner, order)
        self.out = nn.Conv1d(inner, channels, 1, bias=False)
        self.norm = zero_batch_norm(channels)

    def forward(self, operator: Operator, x: Tensor) -> Tensor:
        """Filter a map ``(B, C, *S)`` by an A over its N positions; the increment has the same shape."""
        total = self.hops(operator, self.value(x))
        increment: Tensor = self.norm(ranged(self.out, total, terms=total.shape[1]))
        return increment.to(x.dtype).reshape(x.shape)


class AdaptiveHops(GraphFilterBlock):
    """Y = X + BN(Σ_k σ(H_k s) H_k W), H_k = A^k Z, k = 0 … K: each position says how much of each hop it keeps.

    With constant scores it is the filter of order K with coefficients that are multiples of one W. With the default
    kernel the block costs O(K N c²), never O(N²). :class:`HopSum` is the same for a signal on any graph.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        order: K ≥ 1, the hops besides the position itself; where all positions are neighbours few suffice.
        reduction: C / c, c the channels of both embeddings and of the signal Z.
        kernel: A: ``dot``, ``exp``, ``relu`` or ``sigmoid``, symmetric and degree-normalised as that of the spectral
            block; ``gaussian`` or ``embedded_gaussian``, the row-softmax of the nonlocal block.
        evaluation: How A is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``, ``order`` is less than 1, or the kernel is another.
    """

    paper: ClassVar[str] = "Liu et al., Towards Deeper Graph Neural Networks, KDD 2020"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        order: int = 4,
        reduction: int = 2,
        kernel: HopKernel = "dot",
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__(channels, spatial_dims)
        if order < 1:
            raise ValueError(f"AdaptiveHops: order must be at least 1, got {order}")
        inner = divide(channels, reduction, "AdaptiveHops")
        if kernel not in get_args(HopKernel):
            raise ValueError(f"AdaptiveHops: kernel must be one of {', '.join(get_args(HopKernel))}, got {kernel!r}")
        if kernel == "gaussian" or kernel == "embedded_gaussian":
            self.affinity = PairwiseAffinity(channels, inner, spatial_dims, kernel=kernel, evaluation=evaluation)
        else:
            self.affinity = SymmetricAffinity(
                channels, inner, spatial_dims=spatial_dims, kernel=kernel, products=order, evaluation=evaluation
            )
        value = Projection(channels, inner, spatial_dims)
        self.filters = nn.ModuleList([AdaptiveFilter(channels, value, inner, order)])
