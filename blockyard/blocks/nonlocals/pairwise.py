"""Nonlocal block and nonlocal stage: row-normalised affinities between all positions."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from blockyard.blocks.base import divide
from blockyard.blocks.nonlocals.affinities import PairwiseAffinity, PairwiseKernel, Pooling, Projection
from blockyard.blocks.nonlocals.filters import GraphFilterBlock, PolynomialFilter
from blockyard.blocks.nonlocals.operators import Evaluation


class Nonlocal(GraphFilterBlock):
    """Y = X + BN(A Z W): the filter of order 1 with Θ_0 = 0.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c, c the channels of queries, keys and values.
        kernel: ``gaussian``, ``embedded_gaussian`` (softmax), ``dot_product`` or ``concatenation``.
        scale: Factor of the scores under ``embedded_gaussian``; ``None`` means c^-1/2.
        pool: Max-pool keys and values by two over space, ``before`` the projection (the first authors' code) or
            ``after`` it (the paper), or ``none``.
        bias: Whether queries, keys and values have a bias.
        evaluation: How A is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``.
    """

    paper: ClassVar[str] = "Wang et al., Non-local Neural Networks, CVPR 2018"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        kernel: PairwiseKernel = "embedded_gaussian",
        reduction: int = 2,
        scale: float | None = None,
        pool: Pooling = "none",
        bias: bool = False,
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "Nonlocal")
        self.affinity = PairwiseAffinity(
            channels,
            inner,
            spatial_dims,
            kernel=kernel,
            scale=scale,
            bias=bias,
            pool=pool,
            evaluation=evaluation,
        )
        value = Projection(channels, inner, spatial_dims, bias=bias, pool=pool)
        if bias and kernel in ("gaussian", "embedded_gaussian"):
            # Rows sum to one: it adds the same to every position, which the batch norm takes away.
            self.without_effect = ("filters.0.value.conv.bias",)
        self.filters = nn.ModuleList([PolynomialFilter(channels, value, inner, tying="nonlocal")])


class NonlocalStage(GraphFilterBlock):
    """X ← X + BN((A − I) Z W), ``steps`` times with one affinity: Θ_0 = −Θ_1, diffusion by −L.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c.
        steps: Sub-steps; each has its own value, output and norm.
        evaluation: How A is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels`` or ``steps`` is less than 1.
    """

    paper = "Tao et al., Nonlocal Neural Networks, Nonlocal Diffusion and Nonlocal Modeling, NeurIPS 2018"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        steps: int = 1,
        reduction: int = 2,
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__(channels, spatial_dims, steps)
        inner = divide(channels, reduction, "NonlocalStage")
        self.affinity = PairwiseAffinity(channels, inner, spatial_dims, evaluation=evaluation)
        self.filters = nn.ModuleList(
            PolynomialFilter(channels, Projection(channels, inner, spatial_dims), inner, tying="laplacian")
            for _ in range(steps)
        )
