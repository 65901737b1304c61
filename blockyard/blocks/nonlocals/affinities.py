"""Affinities: modules that turn a feature map into an operator over its positions."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.nonlocals.kernel_operators import (
    ReluOfSum,
    Softmax,
    SymmetricProduct,
    SymmetricTiles,
    spectral_normalisation,
)
from blockyard.blocks.nonlocals.operators import Evaluation, LowRank, Operator, densify

Pooling = Literal["none", "before", "after"]
PairwiseKernel = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]
SymmetricKernel = Literal["dot", "exp", "relu", "sigmoid"]
MATRIX_FITS = 1024
"""Below this many vertices a matrix (4 MB a sample) is cheaper than tiles that are computed twice."""


class Projection(nn.Module):
    """A 1×1 convolution from a map to a signal over its positions, ``(B, C, *S) → (B, out, N)``.

    The weight does not depend on the rank of S, so one state dict serves 1-D, 2-D and 3-D.

    Args:
        channels: Channels C of the map.
        out: Channels of the signal; ``None`` leaves the channels as they are, without a convolution.
        spatial_dims: Rank of S.
        bias: Whether the convolution has a bias.
        pool: Max-pool by two over space (never over time), before or after the convolution.
    """

    def __init__(
        self, channels: int, out: int | None, spatial_dims: int, *, bias: bool = False, pool: Pooling = "none"
    ) -> None:
        super().__init__()
        self.conv = nn.Identity() if out is None else nn.Conv1d(channels, out, 1, bias=bias)
        self.pool = pool
        self.window = {1: (2,), 2: (2, 2), 3: (1, 2, 2)}[spatial_dims]

    def forward(self, x: Tensor) -> Tensor:
        """Project the map, ``(B, C, *S)``, to ``(B, out, M)``; M = N unless pooled."""
        if self.pool == "before":
            x = self._max_pool(x)
        signal = self.conv(x.flatten(2))
        if self.pool == "after":
            signal = self._max_pool(signal.unflatten(2, x.shape[2:])).flatten(2)
        return signal

    def _max_pool(self, x: Tensor) -> Tensor:
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(self.window) - 1]
        # A side of length one has nothing to pool.
        return pool(x, tuple(min(w, s) for w, s in zip(self.window, x.shape[2:], strict=True)))


class PairwiseAffinity(nn.Module):
    """The four affinities of Wang et al., Non-local Neural Networks, CVPR 2018: ``(B, C, *S)`` to A, ``(B, N, M)``.

    Args:
        channels: Channels C of the map.
        inner: Channels c of queries and keys.
        spatial_dims: Rank of S.
        kernel: ``gaussian`` and ``embedded_gaussian`` are row-softmaxes, of the features themselves or of their
            projections; ``dot_product`` and ``concatenation`` are divided by the number of keys.
        scale: Factor of the scores under ``embedded_gaussian``; ``None`` means c^-1/2.
        bias: Whether the projections have a bias.
        pool: Pooling of the keys.
        evaluation: See :data:`blockyard.blocks.nonlocals.operators.Evaluation`.
    """

    def __init__(
        self,
        channels: int,
        inner: int,
        spatial_dims: int,
        *,
        kernel: PairwiseKernel = "embedded_gaussian",
        scale: float | None = None,
        bias: bool = False,
        pool: Pooling = "none",
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__()
        width = None if kernel == "gaussian" else inner
        self.theta = Projection(channels, width, spatial_dims, bias=bias)
        self.phi = Projection(channels, width, spatial_dims, bias=bias, pool=pool)
        if kernel == "concatenation":
            self.concat = nn.Conv1d(2 * inner, 1, 1, bias=False)
        self.inner = inner
        self.kernel = kernel
        # It adds q_i·b to all scores of row i, which a softmax does not see.
        self.without_effect = ("phi.conv.bias",) if bias and kernel == "embedded_gaussian" else ()
        self.scale = 1.0 if kernel == "gaussian" else inner**-0.5 if scale is None else scale
        self.evaluation: Evaluation = evaluation

    def forward(self, x: Tensor) -> Operator:
        """Return the operator of a map ``(B, C, *S)``."""
        query, key = self.theta(x), self.phi(x)
        operator: Operator
        below: float
        if self.kernel == "dot_product":
            operator, below = LowRank(query, key / key.shape[2]), self.inner
        elif self.kernel == "concatenation":
            from_query, from_key = self.concat.weight.split(self.inner, 1)
            operator, below = ReluOfSum(F.conv1d(query, from_query)[:, 0], F.conv1d(key, from_key)[:, 0]), 0
        else:
            # Few keys: one small matrix costs less than a fused kernel, and no more memory than the features do.
            operator, below = Softmax(query, key, self.scale), 2 * query.shape[1]
        return densify(operator, self.evaluation, vertices=key.shape[2], below=below)


class SymmetricAffinity(nn.Module):
    """The affinity of the spectral block, ``(B, N, N)``: D^-1/2 S D^-1/2 with S = (M + Mᵀ) / 2, D = diag(S 1).

    It is symmetric and not negative, so its eigenvalues are real and lie in [−1, 1], and L = I − A is the
    normalised Laplacian of a graph. With ``kernel="dot"``, M = relu(T) relu(P)ᵀ has rank c, and A z costs
    O(N c²) instead of O(N² c).

    Args:
        channels: Channels C of the map.
        inner: Channels c of both embeddings and of the signal it will be applied to.
        spatial_dims: Rank of S.
        kernel: M_ij = ``dot`` relu(t_i)·relu(p_j), ``exp`` exp(t_i·p_j), ``relu`` relu(t_i·p_j) or ``sigmoid``
            σ(t_i·p_j). Only ``dot`` factorises; the others are streamed in tiles.
        products: How often the filter applies A; decides where the matrix becomes cheaper.
        evaluation: How A is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.
    """

    def __init__(
        self,
        channels: int,
        inner: int,
        *,
        spatial_dims: int,
        kernel: SymmetricKernel = "dot",
        products: int = 1,
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__()
        self.theta = Projection(channels, inner, spatial_dims)
        self.phi = Projection(channels, inner, spatial_dims)
        self.kernel = kernel
        # Multiply–accumulates: (1 + K) N² c for the matrix, 4 K N c² without it.
        self.crossover = 4 * products * inner / (1 + products)
        self.evaluation: Evaluation = evaluation

    def forward(self, x: Tensor) -> Operator:
        """Return the operator of a map ``(B, C, *S)``."""
        t, p = self.theta(x), self.phi(x)
        vertices = t.shape[2]
        if self.kernel == "dot":
            product = SymmetricProduct(t.relu(), p.relu())
            return spectral_normalisation(densify(product, self.evaluation, vertices=vertices, below=self.crossover))
        tiles = SymmetricTiles(t, p, {"exp": torch.exp, "relu": torch.relu, "sigmoid": torch.sigmoid}[self.kernel])
        if self.kernel == "exp":
            normalised = tiles.log_normalised()
            return densify(normalised, self.evaluation, vertices=vertices, below=MATRIX_FITS, exported=True)
        return spectral_normalisation(
            densify(tiles, self.evaluation, vertices=vertices, below=MATRIX_FITS, exported=True)
        )
