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

    def bound(self, start: int, block: Tensor) -> Tensor:
        """Distance ``(r,)`` beyond which no entry of a block ``(r, c)`` of the rows from ``start`` on is listed."""
        bound = self.distances[start : start + len(block), -1]
        if block.shape[1] > self.size and bound.isinf().any():
            bound = bound.minimum(block.topk(self.size, largest=False).values[:, -1])
        return bound

    def add(self, start: int, rows: Tensor, columns: Tensor, distances: Tensor) -> None:
        """List entries ``(E,)`` of later columns than any before, sorted by row and column; ``rows`` count from 0.

        Args:
            start: Which row is number 0.
            rows: Numbers of the rows.
            columns: Numbers of the columns.
            distances: The entries, finite.
        """
        touched, row, counts = rows.unique_consecutive(return_inverse=True, return_counts=True)
        if not len(touched):
            return
        place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[row]
        shape = (len(touched), int(counts.max()))
        new_distances = distances.new_full(shape, torch.inf)
        new_columns = columns.new_full(shape, -1)
        new_distances[row, place], new_columns[row, place] = distances, columns
        touched = touched + start
        # Listed ones come first, and a stable sort leaves equals in that order.
        merged, order = torch.cat([self.distances[touched], new_distances], 1).sort(dim=1, stable=True)
        self.distances[touched] = merged[:, : self.size]
        both = torch.cat([self.columns[touched], new_columns], 1)
        self.columns[touched] = both.gather(1, order[:, : self.size])


def nearest(
    queries: Tensor, gallery: Tensor, k: int = 50, *, metric: Metric = "cosine", block_size: int = 4096
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
    found, _ = neighbours(distances, len(queries), len(gallery), k, queries.device, block_size)
    least = found.distances.clamp_min(0)
    return found.columns, least.sqrt() if metric == "euclidean" else least


def neighbours(
    distances: Distances, rows: int, columns: int, k: int, device: torch.device, block_size: int
) -> tuple[Shortlist, Tensor]:
    """The k nearest columns of every row, and the distance ``(rows,)`` of the farthest."""
    found = Shortlist(rows, min(k, columns), device)
    farthest = torch.zeros(rows, dtype=torch.float64, device=device)
    for first, some_columns in blocks(torch.arange(columns, device=device), block_size):
        for start, some_rows in blocks(torch.arange(rows, device=device), block_size):
            block = distances(some_rows, some_columns)
            row, column = (block <= found.bound(start, block)[:, None]).nonzero(as_tuple=True)
            found.add(start, row, column + first, block[row, column])
            farthest[some_rows] = farthest[some_rows].maximum(block.amax(1))
    return found, farthest
