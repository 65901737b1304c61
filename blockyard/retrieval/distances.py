"""Distances between features, a block at a time, that depend on nothing but the two features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from blockyard.mistakes import nearest as hint

Metric = Literal["cosine", "euclidean"]
BITS = 25
"""Features are whole multiples of 2^-25 of their length: products have 50 bits, and sums of them fit in 53."""


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

    Raises:
        ValueError: Features that are not two matrices of one width, empty or not finite; an unknown metric.
    """

    def __init__(self, queries: Tensor, gallery: Tensor, metric: Metric = "cosine") -> None:
        if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
            shapes = f"{tuple(queries.shape)} and {tuple(gallery.shape)}"
            raise ValueError(f"features of queries and gallery must be (Q, D) and (G, D), not {shapes}")
        if not len(queries) or not len(gallery):
            raise ValueError(f"nothing to compare: {len(queries)} queries and a gallery of {len(gallery)}")
        if metric not in get_args(Metric):
            raise ValueError(f"unknown metric {metric!r}: {hint(metric, get_args(Metric))}")
        self.queries, self.gallery, self.metric = queries, gallery, metric
        self.device = queries.device

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        """See :class:`Distances`."""
        left, right = self._on_grid(self.queries, rows), self._on_grid(self.gallery, columns)
        if self.metric == "cosine":
            return torch.addmm(left.new_ones(()), left, right.T, alpha=-(0.25**BITS))
        product = left.mul(-2) @ right.T
        return product.add_(right.square().sum(1)).add_(left.square().sum(1, keepdim=True))

    def _on_grid(self, features: Tensor, positions: Tensor) -> Tensor:
        """Rounded features ``(n, D)``: under ``cosine`` whole numbers, 2^25 times the directions."""
        chosen = features[positions.to(features.device)].to(self.device, torch.float64)
        norm = torch.linalg.vector_norm(chosen, dim=1, keepdim=True)
        if not norm.square().isfinite().all():
            raise ValueError("features must be finite: there are NaN, infinite or overflowing ones")
        if self.metric == "cosine":
            return chosen.mul_(2.0**BITS / norm.where(norm > 0, 1.0)).round_()
        scale = torch.ldexp(torch.ones_like(norm), BITS - torch.frexp(norm).exponent)
        return chosen.mul_(scale).round_().div_(scale)


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
