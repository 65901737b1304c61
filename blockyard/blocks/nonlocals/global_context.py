"""Global context block (GC): one query-independent attention map."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.graph_block import GraphBlock
from blockyard.blocks.nonlocals.operators import LowRank


class GlobalContext(GraphBlock):
    """Y = X + MLP(Σ_j a_j x_j), a = softmax over positions: the nonlocal block whose A = 1 aᵀ has rank one.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C over the hidden channels of the bottleneck. Its layer norm makes a constant of one hidden channel
            and signs of two: three or more are wanted.
        fusion: ``add`` the transformed context, or ``mul``, x · σ(context). The last layer starts at zero, so
            ``add`` starts as the identity and ``mul`` as x / 2.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``.
    """

    paper: ClassVar[str] = (
        "Cao et al., GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond, ICCVW 2019"
    )

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, reduction: int = 16, fusion: Literal["add", "mul"] = "add"
    ) -> None:
        super().__init__(channels, spatial_dims)
        hidden = divide(channels, reduction, "GlobalContext")
        self.mask = Projection(channels, 1, spatial_dims, bias=True)
        self.bottleneck = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels),
        )
        for parameter in self.bottleneck[-1].parameters():
            nn.init.zeros_(parameter)
        self.without_effect, self.without_scale = _without(hidden)
        self.fusion = fusion
        self.identity_at_init = fusion == "add"

    def operator(self, x: Tensor) -> LowRank:
        """1 aᵀ of a map ``(B, C, *S)``, ``(B, N, N)``: every position sees the same."""
        attention = self.attention(x)
        return LowRank(torch.ones_like(attention), attention)

    def attention(self, x: Tensor) -> Tensor:
        """The weights of the positions, ``(B, 1, N)``."""
        return self.mask(x).softmax(2).to(x.dtype)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        attention = self.attention(x)
        pooled = torch.bmm(x.flatten(2), attention.transpose(1, 2)).squeeze(2)
        context = self.bottleneck(pooled)[(...,) + (None,) * self.spatial_dims]
        return x + context if self.fusion == "add" else x * context.sigmoid()


def _without(hidden: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What has no effect, and what none but through ε, with so many hidden channels."""
    if hidden == 1:  # a layer norm of one value is its bias, zero at first, behind which the ReLU stays shut
        return ("mask.*", "bottleneck.[01].*", "bottleneck.3.weight"), ()
    if hidden == 2:  # and of two values, ±1
        return ("mask.conv.bias",), ("mask.conv.weight", "bottleneck.0.*")
    return ("mask.conv.bias",), ()  # added to the scores of all positions, which a softmax does not see
