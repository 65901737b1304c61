"""Global second-order pooling (GSoP): gates from the covariance of channels or of positions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block
from blockyard.blocks.channels.squeeze_excitation import rescale
from blockyard.blocks.half_precision import ranged_layer, roomy
from blockyard.blocks.nonlocals.affinities import Projection

GRID = 8
"""Cells along each axis of the map whose positions are compared."""


class GSoP(Block):
    """Y = x · σ(gates(Σ)): Σ the covariance of d channels over all positions, or of 8×8 positions over d channels.

    The map is first reduced to d channels; the covariance is normalised over the batch row by row, each row is
    summed up in four numbers of its own, and those decide the gates: one a channel, or one a position of the grid,
    spread over the map. The paper's networks have one at the end of a residual branch in each stage (Net2 in the
    first three); the last unit's ``bn3``, such as ``layer1.2.bn3``, meets their counts.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        inner: d.
        attention: ``channel`` or ``position``.
        stride: Take the covariance of channels over every ``stride``-th position along each axis only; the released
            networks have 2 in their first stage and 1 elsewhere.
        released: Centre the covariance of positions with the number of positions instead of that of channels, as the
            released code does; the matrix is then no covariance.

    Raises:
        ValueError: If ``inner`` or ``stride`` is not positive, or an option of one attention is asked for the other.
    """

    identity_at_init = False
    paper: ClassVar[str] = "Gao et al., Global Second-order Pooling Convolutional Networks, CVPR 2019"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        inner: int = 128,
        attention: Literal["channel", "position"] = "channel",
        stride: int = 1,
        released: bool = False,
    ) -> None:
        super().__init__(channels, spatial_dims)
        if min(inner, stride) < 1:
            raise ValueError(f"GSoP: inner and stride must be at least 1, got {inner} and {stride}")
        if stride > 1 and attention == "position":
            raise ValueError("GSoP: stride is for attention='channel' only")
        if released and attention == "channel":
            raise ValueError("GSoP: released differs from the paper for attention='position' only")
        by_channel = attention == "channel"
        rows, gates = (inner, channels) if by_channel else (GRID**spatial_dims, GRID**spatial_dims)
        self.reduce = Projection(channels, inner, spatial_dims, bias=True)
        self.reduce_norm = nn.BatchNorm1d(inner)
        self.row_norm = nn.BatchNorm1d(rows)
        self.rows = nn.Conv1d(rows, 4 * rows, rows, groups=rows)
        self.gates = nn.Linear(4 * rows, gates)
        self.without_effect = ("reduce.conv.bias",)  # a batch norm follows
        self.attention = attention
        self.stride = stride
        self.released = released

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self._by_channel(x) if self.attention == "channel" else self._by_position(x)

    def _by_channel(self, x: Tensor) -> Tensor:
        places: tuple[Any, ...] = (..., *(slice(None, None, self.stride),) * self.spatial_dims)
        signal = self.reduce_norm(self.reduce(x[places].relu())).relu()
        return rescale(x, self._gate(self._sum_up(covariance(signal))).to(x.dtype))

    def _by_position(self, x: Tensor) -> Tensor:
        pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self.spatial_dims - 1]
        signal = self.reduce_norm(self.reduce(x.relu()))
        cells = pool(signal.unflatten(2, x.shape[2:]), GRID).flatten(2).transpose(1, 2)
        summary = self._sum_up(released_covariance(cells) if self.released else covariance(cells))
        gates = self._gate(summary.relu()).to(x.dtype)
        grid = gates.unflatten(1, (1, *(GRID,) * self.spatial_dims))
        return x * F.interpolate(grid, x.shape[2:], mode="nearest-exact")

    def _gate(self, summary: Tensor) -> Tensor:
        return ranged_layer(self.gates, summary).sigmoid()

    def _sum_up(self, matrix: Tensor) -> Tensor:
        """Four numbers for each row of a matrix ``(B, r, r)``, ``(B, 4 r)``."""
        return ranged_layer(self.rows, self.row_norm(matrix)).flatten(1)


def covariance(signal: Tensor) -> Tensor:
    """Covariance of the rows of ``(B, r, n)`` over their n entries, ``(B, r, r)``; in float32 at least."""
    dtype = roomy(signal)
    # Sums of n squares leave float16's range, and a root magnifies what rounding does to small eigenvalues.
    with torch.autocast(signal.device.type, enabled=False):
        wide = signal.float() if signal.itemsize < 4 else signal
        centred = wide - wide.mean(2, keepdim=True)
        return (centred @ centred.transpose(1, 2) / signal.shape[2]).to(dtype)


def released_covariance(signal: Tensor) -> Tensor:
    """What the released code takes for the covariance of the r rows of ``X: (B, r, n)``, ``(B, r, r)``.

    It is (X Xᵀ − s sᵀ / r) / r, s the rows' sums: divided by the number of rows, not by that of entries.
    """
    dtype = roomy(signal)
    with torch.autocast(signal.device.type, enabled=False):
        wide = signal.float() if signal.itemsize < 4 else signal
        rows, sums = signal.shape[1], wide.sum(2, keepdim=True)
        return ((wide @ wide.transpose(1, 2) - sums @ sums.transpose(1, 2) / rows) / rows).to(dtype)
