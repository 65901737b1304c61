"""Distances between features, a block at a time, that depend on nothing but the two features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from blockyard.mistakes import nearest as hint

Metric = Literal["cosine", "euclidean"]
BITS = 25
"""Features are whole multiples of 2^-25 of their length: products have 50 bits, and sums of them fit in 53."""
PIECE = 256
"""Channels that rough distances add up at once: float32 errs by as many roundings, at worst."""
ROUNDING = 2.0**-24
"""What float32 errs by at most, of one."""


class Distances(Protocol):
    """Distances ``(r, c)`` between any of the rows (queries) and any of the columns (gallery)."""

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Float64 ``(r, c)`` between the rows at positions ``(r,)`` and the columns at positions ``(c,)``."""


class FeatureDistances:
    """One minus the cosine, or the *squared* Euclidean distance, of features.

    A matrix product adds in an order that depends on its shape, the device and the threads, so that equal features
    would no longer tie, and the same pair would differ from one block to the next. Here every feature is first
    rounded to a grid of 2^-25 of its length (finer than what float32 products err by), which makes all sums exact in
    float64: a distance is a function of the pair alone.

    Args:
        queries: Features ``(Q, D)``; their device computes.
        gallery: Features ``(G, D)``, on any device: blocks of it are moved.
        metric: ``cosine`` or ``euclidean``.
        positions: Where the columns ``(g,)`` stand in the gallery; all of it by default.

    Raises:
        ValueError: Features that are not two matrices of one width, empty or not finite; an unknown metric.
    """

    def __init__(
        self, queries: Tensor, gallery: Tensor, metric: Metric = "cosine", positions: Tensor | None = None
    ) -> None:
        if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
            shapes = f"{tuple(queries.shape)} and {tuple(gallery.shape)}"
            raise ValueError(f"features of queries and gallery must be (Q, D) and (G, D), not {shapes}")
        if not len(queries) or not len(gallery):
            raise ValueError(f"nothing to compare: {len(queries)} queries and a gallery of {len(gallery)}")
        if metric not in get_args(Metric):
            raise ValueError(f"unknown metric {metric!r}: {hint(metric, get_args(Metric))}")
        self.queries, self.gallery, self.metric, self.positions = queries, gallery, metric, positions
        self.device = queries.device

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        """See :class:`Distances`."""
        left, right = self._on_grid(self._rows(rows)), self._on_grid(self._columns(columns))
        if self.metric == "cosine":
            return torch.addmm(left.new_ones(()), left, right.T, alpha=-(0.25**BITS))
        product = left.mul(-2) @ right.T
        return product.add_(right.square().sum(1)).add_(left.square().sum(1, keepdim=True))

    def of_pairs(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Cosine distances ``(P,)`` of the pairs (rows[i], columns[i]): sums are exact, so that they are the same."""
        parts = [torch.empty(0, dtype=torch.float64, device=self.device)]
        size = max(1, 2**18 // self.queries.shape[1])
        for some_rows, some_columns in zip(rows.split(size), columns.split(size), strict=True):
            left, place = some_rows.unique_consecutive(return_inverse=True)
            products = self._on_grid(self._columns(some_columns)).mul_(self._on_grid(self._rows(left))[place])
            parts.append(1 - products.sum(1) * 0.25**BITS)
        return torch.cat(parts)

    def rough(self, directions: Tensor, columns: Tensor) -> Tensor:
        """Cosine distances ``(r, c)`` in float32 from what :meth:`directions` gives, off by less than the margin."""
        right = _directions(self._columns(columns).to(self.device))
        pieces = zip(directions.split(PIECE, 1), right.split(PIECE, 1), strict=True)
        # The products of a piece are summed by themselves: no library's order of adding errs by more than the margin.
        first, first_right = next(pieces)
        total, part = first @ first_right.T, None
        for some, some_right in pieces:
            part = torch.mm(some, some_right.T, out=part)
            total.add_(part)
        return total.add_(1)

    def directions(self, rows: Tensor) -> Tensor:
        """Of the queries at positions ``(r,)``, ``(r, D)`` float32: the opposite ones."""
        return _directions(self._rows(rows)).neg_()

    @property
    def margin(self) -> float:
        """By how much rough distances are off at most.

        Roundings of the sum in a piece, of which each is at most that of a product of lengths (Cauchy and Schwarz), of
        the pieces, of both features to directions and to the grid, and a dozen of what is left, also of limits.
        """
        width = self.queries.shape[1]
        return 1.01 * ROUNDING * (min(width, PIECE) + width / PIECE + width**0.5 / 2 + 16)

    def can_be_rough(self) -> bool:
        """Whether float32 products are what they should be: a setting or autocast may round to fewer bits."""
        if self.metric != "cosine" or self.device.type != "cpu":
            return False
        probe = torch.full((128, 128), 1 + 2.0**-12)
        return bool(((probe @ probe).double() / 128 - (1 + 2.0**-11)).abs().max() < 2.0**-16)

    def _rows(self, positions: Tensor) -> Tensor:
        return self.queries[positions.to(self.queries.device)]

    def _columns(self, positions: Tensor) -> Tensor:
        if self.positions is not None:
            positions = self.positions[positions]
        return self.gallery[positions.to(self.gallery.device)]

    def _on_grid(self, features: Tensor) -> Tensor:
        """Rounded features ``(n, D)``: under ``cosine`` whole numbers, 2^25 times the directions."""
        chosen = features.to(self.device, torch.float64)
        norm = _lengths(chosen)
        if self.metric == "cosine":
            return chosen.mul_(2.0**BITS / norm.where(norm > 0, 1.0)).round_()
        scale = torch.ldexp(torch.ones_like(norm), BITS - torch.frexp(norm).exponent)
        return chosen.mul_(scale).round_().div_(scale)


def _directions(features: Tensor) -> Tensor:
    """Features ``(n, D)`` of length one, in float32."""
    chosen = features.detach()
    if chosen.dtype == torch.float32:
        # Squares are added in float64, which torch does by a copy.
        squares = torch.from_numpy(np.einsum("nd,nd->n", chosen.numpy(), chosen.numpy(), dtype=np.float64))[:, None]
        scale = squares.where(squares > 0, 1.0).rsqrt()
        if scale.min() > 2.0**-100 and scale.max() < 2.0**100:
            return chosen.mul_(scale.float())
    chosen = chosen.double()
    norm = _lengths(chosen)
    return chosen.mul_(1 / norm.where(norm > 0, 1.0)).float()


def _lengths(features: Tensor) -> Tensor:
    """Lengths ``(n, 1)`` of features ``(n, D)``.

    Raises:
        ValueError: If one is not finite.
    """
    norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    if not norm.square().isfinite().all():
        raise ValueError("features must be finite: there are NaN, infinite or overflowing ones")
    return norm


def pair_distances(distances: Distances, rows: Tensor, columns: Tensor, block_size: int) -> Tensor:
    """Distances ``(P,)`` of the pairs (rows[i], columns[i]), best sorted by row."""
    parts = [torch.empty(0, dtype=torch.float64, device=rows.device)]
    for some_rows, some_columns in zip(rows.split(block_size), columns.split(block_size), strict=True):
        left, row = some_rows.unique(return_inverse=True)
        right, column = some_columns.unique(return_inverse=True)
        parts.append(distances(left, right)[row, column])
    return torch.cat(parts)


def blocks(positions: Tensor, block_size: int) -> Iterator[tuple[int, Tensor]]:
    """Consecutive pieces of some positions ``(n,)``, each with where it starts."""
    yield from zip(range(0, len(positions), block_size), positions.split(block_size), strict=True)
