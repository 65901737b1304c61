"""The nearest few of a gallery that comes in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from blockyard.retrieval.distances import Distances, FeatureDistances, Metric, blocks


class Shortlist:
    """The k nearest columns seen so far of every row, ties in the order of the columns.

    Attributes:
        distances: ``(R, k)``, ascending; infinite where fewer than k columns were seen.
        columns: ``(R, k)`` numbers of the columns; -1 where fewer than k were seen.
    """

    def __init__(self, rows: int, size: int, device: torch.device) -> None:
        self.size = size
        self.distances = torch.full((rows, size), torch.inf, dtype=torch.float64, device=device)
        self.columns = torch.full((rows, size), -1, device=device)

    def bound(self, block: Tensor) -> Tensor:
        """Distance ``(R,)`` beyond which no entry of the next block ``(R, c)`` is listed."""
        bound = self.distances[:, -1]
        if block.shape[1] > self.size and bound.isinf().any():
            bound = bound.minimum(block.topk(self.size, largest=False).values[:, -1])
        return bound

    def add(self, rows: Tensor, columns: Tensor, distances: Tensor) -> None:
        """List finite entries ``(E,)``, sorted by row and column, of later columns than any before."""
        touched, new_distances, new_columns = packed(rows, columns, distances)
        # Listed ones come first, and a stable sort leaves equals in that order.
        both = torch.cat([self.distances[touched], new_distances], 1).sort(dim=1, stable=True)
        self.distances[touched] = both.values[:, : self.size]
        all_columns = torch.cat([self.columns[touched], new_columns], 1)
        self.columns[touched] = all_columns.gather(1, both.indices[:, : self.size])


def packed(rows: Tensor, columns: Tensor, distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entries ``(E,)`` sorted by row, moved to the left: the rows ``(t,)`` that have any, their distances and columns.

    Both are ``(t, c)``, filled up with infinity and -1.
    """
    touched, row, counts = rows.unique_consecutive(return_inverse=True, return_counts=True)
    place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[row]
    shape = (len(touched), int(counts.max()) if len(counts) else 0)
    left_distances = distances.new_full(shape, torch.inf)
    left_columns = columns.new_full(shape, -1)
    left_distances[row, place], left_columns[row, place] = distances, columns
    return touched, left_distances, left_columns


def nearest(
    queries: Tensor, gallery: Tensor, k: int = 50, *, metric: Metric = "cosine", block_size: int = 2048
) -> tuple[Tensor, Tensor]:
    """The k nearest gallery features of every query, without labels; ties in the order of the gallery.

    Args:
        queries: Features ``(Q, D)``; their device computes.
        gallery: Features ``(G, D)``.
        k: How many; cut to G.
        metric: ``cosine`` (one minus it is the distance) or ``euclidean``.
        block_size: Features of either side in a block of distances.

    Returns:
        Positions in the gallery and distances, both ``(Q, k)``.
    """
    distances = FeatureDistances(queries, gallery, metric)
    columns, least, _ = neighbours(distances, len(queries), len(gallery), k, queries.device, block_size)
    # On their grid, features are not quite of length one, and a square is a difference of sums.
    least = least.clamp_min(0)
    return columns, least.sqrt() if metric == "euclidean" else least


def neighbours(
    distances: Distances, rows: int, columns: int, k: int, device: torch.device, block_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The k nearest columns of every row and their distances ``(rows, k)``, and that of the farthest ``(rows,)``."""
    parts = []
    for _, some_rows in blocks(torch.arange(rows, device=device), block_size):
        found = Shortlist(len(some_rows), min(k, columns), device)
        farthest = torch.zeros(len(some_rows), dtype=torch.float64, device=device)
        for first, some_columns in blocks(torch.arange(columns, device=device), block_size):
            block = distances(some_rows, some_columns)
            row, column = (block <= found.bound(block)[:, None]).nonzero(as_tuple=True)
            found.add(row, column + first, block[row, column])
            farthest = farthest.maximum(block.amax(1))
        parts.append((found.columns, found.distances, farthest))
    nearest_columns, nearest_distances, farthest = (torch.cat(part) for part in zip(*parts, strict=True))
    return nearest_columns, nearest_distances, farthest
