"""Double attention (A2), which is efficient attention with one head."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.filters import GraphFilterBlock, PolynomialFilter
from blockyard.blocks.nonlocals.operators import Evaluation, Grouped, LowRank, Operator, densify


class DoubleSoftmaxAffinity(nn.Module):
    """A = softmax over channels(V)ᵀ · softmax over positions(B): row-stochastic, of rank at most n a head.

    From a map ``(B, C, *S)``, one operator a head, ``(B · heads, N, N)``.
    """

    def __init__(self, channels: int, inner: int, spatial_dims: int, heads: int, evaluation: Evaluation) -> None:
        super().__init__()
        self.distribute = Projection(channels, inner, spatial_dims)
        self.gather = Projection(channels, inner, spatial_dims)
        self.heads = heads
        self.width = inner // heads
        self.evaluation: Evaluation = evaluation

    def forward(self, x: Tensor) -> Operator:
        """Return the operator of a map ``(B, C, *S)``."""
        scatter, gather = (
            signal.unflatten(1, (self.heads, self.width)).flatten(0, 1)
            for signal in (self.distribute(x), self.gather(x))
        )
        factors = LowRank(scatter.softmax(1), gather.softmax(2))
        return Grouped(densify(factors, self.evaluation, vertices=gather.shape[2], below=self.width), self.heads)


class DoubleAttention(GraphFilterBlock):
    """Y = X + BN(A Z W): gather n global descriptors, then distribute them to every position.

    The softmax that distributes runs over the n channels of a position, as in the paper; implementations that
    run it over positions are another operator. With ``heads`` > 1 this is efficient attention.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c, c the number of descriptors and the channels of the signal.
        heads: Groups of descriptors and signal channels that attend apart.
        evaluation: How A is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels`` or ``heads`` does not divide C / reduction.
    """

    paper: ClassVar[str] = "Chen et al., A2-Nets: Double Attention Networks, NeurIPS 2018"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        heads: int = 1,
        reduction: int = 2,
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "DoubleAttention")
        divide(inner, heads, "DoubleAttention", "heads")
        self.affinity = DoubleSoftmaxAffinity(channels, inner, spatial_dims, heads, evaluation)
        if heads == inner:
            self.without_effect = ("affinity.distribute.*",)  # a softmax over one channel is one
        value = Projection(channels, inner, spatial_dims)
        self.filters = nn.ModuleList([PolynomialFilter(channels, value, inner, tying="nonlocal")])
