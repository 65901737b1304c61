"""Re-ranking by shared k-reciprocal neighbours: Zhong et al., Re-ranking Person Re-identification, CVPR 2017."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from blockyard.retrieval.distances import Distances, FeatureDistances, Metric, blocks, pair_distances
from blockyard.retrieval.matching import Pairs, expand
from blockyard.retrieval.shortlist import neighbours

ROWS = 256
"""Rows whose neighbours' neighbours are looked at together."""
GRID = 2.0**40
"""Weights are whole multiples of 1 / GRID, so that their sums do not depend on the order of adding."""


@dataclass(frozen=True)
class KReciprocal:
    """Mixes distances with the Jaccard distance of two items' k-reciprocal neighbours.

    Neighbours are sought among queries and gallery together. Kept are k1 neighbours an item and the non-zero weights
    of the paper's vectors; all matrices come in blocks.

    Args:
        k1: Neighbours that are asked whether they are neighbours in return.
        k2: Nearest neighbours whose vectors are averaged; 1 leaves them as they are.
        weight: The paper's λ: share of the original distance.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        if not (self.k1 >= 1 and 1 <= self.k2 <= self.k1 + 1 and 0 <= self.weight <= 1):
            raise ValueError(f"re-ranking needs k1 ≥ 1, 1 ≤ k2 ≤ k1 + 1 and a weight from 0 to 1, not {self}")

    def distances(self, queries: Tensor, gallery: Tensor, metric: Metric, block_size: int) -> Distances:
        """Re-ranked distances of queries ``(Q, D)`` to a gallery ``(G, D)`` without junk."""
        items = torch.cat([queries, gallery.to(queries.device)])
        return _Reranked(FeatureDistances(items, items, metric), len(queries), len(items), self, block_size)


class _Reranked:
    def __init__(
        self, between: FeatureDistances, queries: int, items: int, settings: KReciprocal, block_size: int
    ) -> None:
        self.between, self.queries, self.settings = between, queries, settings
        nearest, _, farthest = neighbours(between, items, items, settings.k1 + 1, between.device, block_size)
        # All items may be one and the same.
        self.farthest = farthest.where(farthest > 0, 1.0)
        vectors, values = self._vectors(nearest)
        self.averaged = min(settings.k2, nearest.shape[1])  # there may be fewer items than k2
        self.vectors, self.values = _sums(vectors, values, nearest[:, : self.averaged])

    def _vectors(self, nearest: Tensor) -> tuple[Pairs, Tensor]:
        pairs = reciprocal_neighbours(nearest, self.settings.k1)
        distances = pair_distances(self.between, pairs.rows, pairs.columns, 1024)
        weights = (distances / self.farthest[pairs.rows]).neg().exp().mul(GRID).round() / GRID
        totals = torch.zeros_like(self.farthest).index_add(0, pairs.rows, weights)
        return pairs, (weights / totals[pairs.rows]).mul(GRID).round() / GRID

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        """See :class:`blockyard.retrieval.distances.Distances`."""
        items = columns + self.queries
        shared = torch.cat([self._overlap(some, items) for some in rows.split(ROWS)])
        # Each vector sums up to one, so that Σ max = 2 - Σ min.
        jaccard = 1 - shared / (2 - shared)
        original = self.between(rows, items) / self.farthest[rows, None]
        return (1 - self.settings.weight) * jaccard + self.settings.weight * original

    def _overlap(self, rows: Tensor, items: Tensor) -> Tensor:
        """Σ_k min(V_ik, V_jk), ``(r, c)``, over the non-zero weights alone."""
        column, theirs = expand(self.vectors.starts[items], (self.vectors.ends - self.vectors.starts)[items])
        key, order = self.vectors.columns[theirs].sort()
        column, their_values = column[order], self.values[theirs][order]
        row, ours = expand(self.vectors.starts[rows], (self.vectors.ends - self.vectors.starts)[rows])
        wanted = self.vectors.columns[ours]
        first = torch.searchsorted(key, wanted)
        entry, met = expand(first, torch.searchsorted(key, wanted, right=True) - first)
        least = self.values[ours][entry].minimum(their_values[met])
        sums = torch.zeros(len(rows) * len(items), dtype=torch.float64, device=rows.device)
        sums.index_add_(0, row[entry] * len(items) + column[met], least)
        return sums.view(len(rows), len(items)) / self.averaged


def reciprocal_neighbours(nearest: Tensor, k1: int) -> Pairs:
    """Pairs (i, j) of an item and its k-reciprocal neighbours, grown as the paper does, sorted.

    The k1 / 2 - reciprocal neighbours of a neighbour join if more than two thirds of them are in already.

    Args:
        nearest: Nearest items of every item, itself first, ``(N, k1 + 1)`` or narrower.
        k1: Neighbours looked at.
    """
    half = nearest[:, : round(k1 / 2) + 1]
    count = len(nearest)
    everyone = torch.arange(count, device=nearest.device)
    mutual, half_mutual = (
        torch.cat([(near[near[some]] == some[:, None, None]).any(2) for some in everyone.split(ROWS)])
        for near in (nearest, half)
    )
    keys = []
    for start, some in blocks(everyone, ROWS):
        mine, is_mine = nearest[some], mutual[some]
        theirs, are_theirs = half[mine], half_mutual[mine]
        known = ((theirs[..., None] == mine[:, None, None]) & is_mine[:, None, None]).any(3)
        common, size = (known & are_theirs).sum(2), are_theirs.sum(2)
        joins = (is_mine & (3 * common > 2 * size))[..., None] & are_theirs
        own = torch.where(is_mine, mine, -1)
        grown = torch.cat([own, torch.where(joins, theirs, -1).flatten(1)], 1)
        row, place = (grown >= 0).nonzero(as_tuple=True)
        keys.append(((row + start) * count + grown[row, place]).unique())
    pairs = torch.cat(keys)
    return Pairs.of(pairs // count, pairs % count, count)


def _sums(vectors: Pairs, values: Tensor, nearest: Tensor) -> tuple[Pairs, Tensor]:
    """Sums of the sparse vectors of each item's nearest ``(N, k2)``."""
    count = len(nearest)
    sizes = vectors.ends - vectors.starts
    keys, sums = [], []
    for start, some in blocks(nearest, ROWS):
        owner, entry = expand(vectors.starts[some.flatten()], sizes[some.flatten()])
        key, place = ((owner // some.shape[1] + start) * count + vectors.columns[entry]).unique(return_inverse=True)
        keys.append(key)
        sums.append(values.new_zeros(len(key)).index_add_(0, place, values[entry]))
    key = torch.cat(keys)
    return Pairs.of(key // count, key % count, count), torch.cat(sums)
