"""Operators whose entries are a kernel of two vertices' embeddings; none of them builds the matrix to apply it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from blockyard.blocks.half_precision import computes_in_float16, ranged, roomy
from blockyard.blocks.nonlocals.operators import (
    Dense,
    Operator,
    Scaled,
    at_least_float32,
    full_precision_product,
    inner,
    through,
    weigh,
)


@dataclass(frozen=True)
class SymmetricProduct(Operator):
    """S = (T Pᵀ + P Tᵀ) / 2 with ``t, p: (B, r, N)``, applied in O(N r C): the affinity of the spectral block."""

    t: Tensor
    p: Tensor

    def apply(self, z: Tensor) -> Tensor:
        """Return S z, ``(B, C, N)``, by four skinny products."""
        if computes_in_float16(z, self.t):
            return (through(z, self.p, self.t) + through(z, self.t, self.p)) * 0.5
        along_t = torch.bmm(torch.bmm(z, self.p.transpose(1, 2)), self.t)
        return torch.baddbmm(along_t, torch.bmm(z, self.t.transpose(1, 2)), self.p, beta=0.5, alpha=0.5)

    def dense(self) -> Tensor:
        """Build S, ``(B, N, N)``."""
        product = ranged(inner, self.t, self.p, terms=self.t.shape[1])
        return (product + product.transpose(1, 2)) * 0.5

    def degrees(self) -> Tensor:
        """Return S 1, ``(B, 1, N)``, in at least float32 and in O(N r)."""
        # Elementwise on purpose: autocast would run a matrix product in half precision, and a degree grows with N.
        t, p = at_least_float32(self.t), at_least_float32(self.p)
        return (t * p.sum(2, keepdim=True) + p * t.sum(2, keepdim=True)).sum(1, keepdim=True) * 0.5

    def scaled(self, scale: Tensor) -> SymmetricProduct:
        """Return diag(s) S diag(s), ``scale: (B, 1, N)``, for factors that are not negative.

        Channel by channel both factors get the same maximum, √2 at most for the scale D^-1/2: where one of them is zero
        everywhere, the degrees say nothing of the other's size.
        """
        t, p = at_least_float32(self.t) * scale, at_least_float32(self.p) * scale
        peaks = [factor.detach().amax(2, keepdim=True) for factor in (t, p)]
        both = (peaks[0] > 0) & (peaks[1] > 0)
        ratio = torch.where(both, peaks[1] / torch.where(both, peaks[0], 1), 1).sqrt()
        zero = torch.zeros_like(ratio)
        return SymmetricProduct(torch.where(both, t * ratio, zero), torch.where(both, p / ratio, zero))


@dataclass(frozen=True)
class Softmax(Operator):
    """Row-softmax of scale · QᵀK, ``query: (B, c, N)``, ``key: (B, c, M)``, applied by fused attention."""

    query: Tensor
    key: Tensor
    scale: float

    def apply(self, z: Tensor) -> Tensor:
        """Attend from ``z: (B, C, M)`` to ``(B, C, N)`` without storing the N×M weights."""
        q, k, v = (a.transpose(1, 2).unsqueeze(1).contiguous() for a in (self.query, self.key, z))
        if q.shape[-1] != v.shape[-1] and not q.is_cuda:
            # The CPU kernel is fused only for equal head sizes; zeros change neither the scores nor the kept values.
            width = max(q.shape[-1], v.shape[-1])
            q, k, v = (F.pad(a, (0, width - a.shape[-1])) for a in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return out[..., : z.shape[1]].squeeze(1).transpose(1, 2)

    def dense(self) -> Tensor:
        """Build the attention matrix, ``(B, N, M)``."""
        return (ranged(inner, self.query, self.key, terms=self.key.shape[1]) * self.scale).softmax(2)


@dataclass(frozen=True)
class ReluOfSum(Operator):
    """A_ij = relu(a_i + b_j) / M with ``a: (B, N)``, ``b: (B, M)``, applied in O(N log M + (N + M) C).

    The keys with b_j > −a_i are a prefix once b is sorted, so every row is a_i Σ z_j + Σ b_j z_j over a prefix.
    """

    a: Tensor
    b: Tensor

    def apply(self, z: Tensor) -> Tensor:
        """Sort the keys once, then look every row of ``(B, C, N)`` up in two prefix sums of ``z: (B, C, M)``."""
        negative, order = torch.sort(-at_least_float32(self.b), dim=1)
        z_sorted = at_least_float32(z).gather(2, order.unsqueeze(1).expand_as(z))
        signal = torch.stack([z_sorted, -negative.unsqueeze(1) * z_sorted], 1)
        prefix = F.pad(signal.cumsum(3), (1, 0))  # (B, 2, C, M + 1)
        a = at_least_float32(self.a)
        count = torch.searchsorted(negative.detach(), a.detach().contiguous())
        picked = prefix.gather(3, count[:, None, None, :].expand(-1, 2, z.shape[1], -1))
        return ((a.unsqueeze(1) * picked[:, 0] + picked[:, 1]) / z.shape[2]).to(roomy(z))

    def dense(self) -> Tensor:
        """Build the matrix, ``(B, N, M)``."""
        a, b = (signal.to(roomy(signal)) for signal in (self.a, self.b))
        return (a.unsqueeze(2) + b.unsqueeze(1)).relu() / b.shape[1]


@dataclass(frozen=True)
class SymmetricTiles(Operator):
    """(M + Mᵀ) / 2 with M = f(TᵀP) elementwise, streamed in row tiles that the backward pass computes again.

    For kernels f without a finite factorisation: O(N² C) time, O(tile · N) memory. ``t, p: (B, r, N)``.
    """

    t: Tensor
    p: Tensor
    kernel: Callable[[Tensor], Tensor]
    tile: int = 256
    scale: Tensor | None = None
    """s, ``(B, 1, N)``, if it is diag(s) (M + Mᵀ) diag(s) / 2."""

    @property
    def _tile_size(self) -> int:
        # The number of tiles would bake the size into an exported graph.
        return self.t.shape[2] if torch.compiler.is_exporting() else self.tile

    def apply(self, z: Tensor) -> Tensor:
        """Accumulate M z and Mᵀ z, ``(B, C, N)``, over row tiles."""
        rows, columns = [], torch.zeros_like(z)
        tiles = [signal.split(self._tile_size, 2) for signal in (self.t, z)]
        scales = [None] * len(tiles[0]) if self.scale is None else self.scale.split(self._tile_size, 2)
        for t_tile, z_tile, scale in zip(*tiles, scales, strict=True):
            row, column = checkpoint(self._tile, t_tile, z_tile, scale, z, use_reentrant=False)
            rows.append(row)
            columns = columns + column
        return (torch.cat(rows, 2) + columns) * 0.5

    def _tile(self, t_tile: Tensor, z_tile: Tensor, scale: Tensor | None, z: Tensor) -> tuple[Tensor, Tensor]:
        weights = self._weights(t_tile, scale)
        row = ranged(weigh, z, weights, terms=z.shape[2])
        return row, ranged(weigh, z_tile, weights.transpose(1, 2), terms=z_tile.shape[2])

    def _weights(self, t_tile: Tensor, scale: Tensor | None) -> Tensor:
        weights = self.kernel(full_precision_product(t_tile, self.p))
        return weights if scale is None or self.scale is None else weights * scale.transpose(1, 2) * self.scale

    def dense(self) -> Tensor:
        """Build the matrix, ``(B, N, N)``."""
        weights = self._weights(self.t, self.scale)
        return (weights + weights.transpose(1, 2)) * 0.5

    def degrees(self) -> Tensor:
        """Return the row sums, ``(B, 1, N)``, in at least float32."""
        with torch.autocast(self.t.device.type, enabled=False):
            return self.apply(torch.ones_like(at_least_float32(self.t[:, :1])))

    def scaled(self, scale: Tensor) -> SymmetricTiles:
        """Return diag(s) A diag(s), ``scale: (B, 1, N)``."""
        return replace(self, scale=scale)

    def log_normalised(self) -> SymmetricTiles:
        """Return D^-1/2 A D^-1/2 for ``kernel=torch.exp``, with no exponential that can overflow.

        The logarithms of the degrees join the embeddings as two more channels, so that every exponent is
        t_i·p_j − (log d_i + log d_j) / 2, at most log 2.
        """
        half_log = -0.5 * self._log_degrees()
        one = torch.ones_like(half_log)
        t, p = at_least_float32(self.t), at_least_float32(self.p)
        return replace(self, t=torch.cat([t, half_log, one], 1), p=torch.cat([p, one, half_log], 1))

    def _log_degrees(self) -> Tensor:
        # Relative to each vertex's largest score, sums of exponentials add up without a tile's being kept.
        with torch.no_grad():
            scores = (full_precision_product(t_tile, self.p) for t_tile in self.t.split(self._tile_size, 2))
            peaks = [(score.amax(2), score.amax(1)) for score in scores]
            rows, columns = zip(*peaks, strict=True)
            peak = torch.maximum(torch.cat(rows, 1), torch.stack(columns).amax(0))

        def sums(t_tile: Tensor, peak_tile: Tensor) -> tuple[Tensor, Tensor]:
            scores = full_precision_product(t_tile, self.p)
            return (scores - peak_tile.unsqueeze(2)).exp().sum(2), (scores - peak.unsqueeze(1)).exp().sum(1)

        by_row, by_column = [], torch.zeros_like(peak)
        for t_tile, peak_tile in zip(self.t.split(self._tile_size, 2), peak.split(self._tile_size, 1), strict=True):
            row, column = checkpoint(sums, t_tile, peak_tile, use_reentrant=False)
            by_row.append(row)
            by_column = by_column + column
        return (peak + ((torch.cat(by_row, 1) + by_column) * 0.5).log()).unsqueeze(1)


def spectral_normalisation(affinity: Dense | SymmetricProduct | SymmetricTiles) -> Operator:
    """Return D^-1/2 S D^-1/2 of a symmetric S with entries ≥ 0, D = diag(S 1).

    The eigenvalues lie in [−1, 1]. A vertex of degree zero is isolated: its row and column stay zero.
    """
    scale = connected_rsqrt(affinity.degrees())
    factor = affinity.matrix if isinstance(affinity, Dense) else affinity.t
    # Sums over S would leave float16's range; normalised first, its entries are at most 1.
    return affinity.scaled(scale) if computes_in_float16(factor) else Scaled(affinity, scale)


def connected_rsqrt(degrees: Tensor) -> Tensor:
    """d^-1/2 of degrees of any shape, zero where a vertex is isolated."""
    # d^-3/2, the derivative, must not overflow either: below this floor a vertex counts as isolated.
    connected = degrees > torch.finfo(degrees.dtype).tiny ** (2 / 3)
    # `where` twice: the branch that is not taken must not put a NaN into the gradient.
    safe = torch.where(connected, degrees, torch.ones_like(degrees))
    return torch.where(connected, safe.rsqrt(), torch.zeros_like(degrees))
