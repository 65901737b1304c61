"""Compact generalized nonlocal block (CGNL): the graph's vertices are pairs of position and channel."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, divide
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.operators import LowRank, at_least_float32


class CompactNonlocal(Block):
    """Y = X + GN(A vec(Z) W), A between all (position, channel) pairs of a group, applied in O(N c).

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c.
        groups: Groups G that c and C are split into.
        kernel: ``dot``, θ φᵀ, of rank 1; or ``rbf``, the Taylor series of the Gaussian kernel, of rank
            ``order`` + 1 (CGNLx). Neither is normalised.
        order: Order of the Taylor series.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels`` or ``groups`` does not divide C / reduction.
    """

    paper: ClassVar[str] = "Yue et al., Compact Generalized Non-local Network, NeurIPS 2018"
    gamma: ClassVar[float] = 1e-4
    """Width of the Gaussian kernel, exp(−γ |θ − φ|²)."""

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        groups: int = 8,
        reduction: int = 2,
        kernel: Literal["dot", "rbf"] = "dot",
        order: int = 3,
    ) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "CompactNonlocal")
        divide(inner, groups, "CompactNonlocal", "groups")
        self.theta = Projection(channels, inner, spatial_dims)
        self.phi = Projection(channels, inner, spatial_dims)
        self.value = Projection(channels, inner, spatial_dims)
        self.out = nn.Conv1d(inner, channels, 1, groups=groups, bias=False)
        self.norm = nn.GroupNorm(groups, channels)
        nn.init.zeros_(self.norm.weight)
        self.groups = groups
        self.order = order if kernel == "rbf" else None
        self.without_effect = ("theta.*", "phi.*") if self.order == 0 else ()
        if not self.order:
            # A z = θ (φ·z): one number a sample and group, of which the group norm leaves the sign.
            self.without_scale = ("phi.conv.weight", "value.conv.weight")

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        theta, phi, z = self.theta(x), self.phi(x), self.value(x)
        # A is not normalised: its sums over N c / G vertices overflow half precision.
        with torch.autocast(x.device.type, enabled=False):
            signal = self.affinity(theta, phi).apply(self._vertices(z)).reshape(z.shape)
            mixed = F.conv1d(signal, at_least_float32(self.out.weight), groups=self.groups)
            weight, bias = at_least_float32(self.norm.weight), at_least_float32(self.norm.bias)
            increment = F.group_norm(mixed, self.groups, weight, bias, self.norm.eps)
        return x + increment.to(z.dtype).reshape(x.shape)

    def affinity(self, theta: Tensor, phi: Tensor) -> LowRank:
        """Return A for ``theta, phi: (B, c, N)``, over the N c / G vertices of each of the B G groups."""
        t, p = self._vertices(theta), self._vertices(phi)
        if self.order is None:
            return LowRank(t, p)
        # exp(−γ |t − p|²) ≈ exp(−2γ) exp(2γ t p) for t, p of length one, which the authors do not enforce.
        g = 2 * self.gamma
        weights = [math.sqrt(math.exp(-g) * g**k / math.factorial(k)) for k in range(self.order + 1)]
        return LowRank(*(torch.cat([w * a**k for k, w in enumerate(weights)], 1) for a in (t, p)))

    def _vertices(self, signal: Tensor) -> Tensor:
        batch, channels, positions = signal.shape  # not -1, which an empty batch leaves open
        return at_least_float32(signal).reshape(batch * self.groups, 1, channels // self.groups * positions)
