"""CMC, mean average precision and mINP of a ranked gallery, without sorting it and without all distances at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blockyard.retrieval.distances import Distances, FeatureDistances, Metric, blocks, pair_distances
from blockyard.retrieval.matching import Pairs, same_identity
from blockyard.retrieval.reranking import KReciprocal
from blockyard.retrieval.shortlist import Shortlist

JUNK = -1
"""Identity of gallery items that are removed before ranking; identity 0, a distractor, is nobody's match and stays."""


@dataclass(frozen=True)
class Ranking:
    """How well every query found its matches; NaN and 0 where it has none.

    Attributes:
        average_precision: ``(Q,)`` float64.
        inverse_negative_penalty: M / rank of the last of M matches, ``(Q,)`` float64 (Ye et al., Deep Learning for
            Person Re-Identification: A Survey and Outlook, TPAMI 2021).
        first_match: Rank of the first match from 1, ``(Q,)`` long.
        valid: Whether the query has a match, ``(Q,)``; the others are left out of every mean.
        top: Positions in the gallery of the nearest ones, ``(Q, 50)`` or narrower for a smaller gallery; -1 where
            fewer are left after removal.
    """

    average_precision: Tensor
    inverse_negative_penalty: Tensor
    first_match: Tensor
    valid: Tensor
    top: Tensor

    def cmc(self, k: int) -> float:
        """Share of valid queries with a match among their k nearest."""
        return float((self.first_match[self.valid] <= k).double().mean())

    @property
    def mAP(self) -> float:  # noqa: N802
        """Mean average precision."""
        return float(self.average_precision[self.valid].mean())

    @property
    def mINP(self) -> float:  # noqa: N802
        """Mean inverse negative penalty."""
        return float(self.inverse_negative_penalty[self.valid].mean())


def rank(
    queries: Tensor,
    gallery: Tensor,
    query_ids: Tensor,
    gallery_ids: Tensor,
    query_cameras: Tensor,
    gallery_cameras: Tensor,
    *,
    metric: Metric = "cosine",
    rerank: KReciprocal | None = None,
    interpolation: Literal["none", "trapezoid"] = "none",
    top: int = 50,
    block_size: int = 4096,
) -> Ranking:
    """Rank the gallery for every query, and say where its matches stand.

    Per query the gallery loses junk (identity -1) and what has its identity *and* its camera; matches are what is
    left of its identity. Ties are broken by position in the gallery. Memory is that of the features, the pairs of one
    identity, and a few blocks.

    Args:
        queries: Features ``(Q, D)``; their device computes.
        gallery: Features ``(G, D)``, on any device.
        query_ids: Identities ``(Q,)``.
        gallery_ids: Identities ``(G,)``.
        query_cameras: Cameras ``(Q,)``.
        gallery_cameras: Cameras ``(G,)``.
        metric: ``cosine`` or ``euclidean``.
        rerank: Replaces the distances by re-ranked ones.
        interpolation: ``none``: AP = 1/M Σ hits/rank, what papers print; ``trapezoid``: the area under the
            interpolated precision-recall curve, of the MATLAB code published with Market-1501 and MARS.
        top: How many of the nearest to keep.
        block_size: Features of either side in a block of distances.

    Raises:
        ValueError: Shapes that do not fit, features that are not finite, or no query that has a match.
    """
    if interpolation not in ("none", "trapezoid"):
        raise ValueError(f"unknown interpolation {interpolation!r}: allowed: none, trapezoid")
    device = queries.device
    labels = (query_ids, query_cameras), (gallery_ids, gallery_cameras)
    _check_lengths(queries, gallery, labels)
    (query_ids, query_cameras), (gallery_ids, gallery_cameras) = (
        tuple(label.to(device) for label in side) for side in labels
    )
    kept = (gallery_ids != JUNK).nonzero()[:, 0]
    pairs = same_identity(query_ids, gallery_ids[kept])
    seen_by_other = query_cameras[pairs.rows] != gallery_cameras[kept][pairs.columns]
    matches, removed = pairs.where(seen_by_other), pairs.where(~seen_by_other)
    if not len(matches.rows):
        raise ValueError("no query has a match in the gallery: nothing of its identity was seen by another camera")
    distances: Distances = FeatureDistances(queries, gallery, metric)
    if len(kept) < len(gallery):
        distances = _Columns(distances, kept)
    if rerank is not None:
        distances = rerank.distances(queries, gallery[kept.to(gallery.device)], metric, block_size)
    nearest = Shortlist(len(queries), min(top, len(kept)), device)
    matches, ranks = _ranks(distances, matches, removed, nearest, len(kept), block_size)
    places = torch.where(nearest.columns < 0, -1, kept[nearest.columns])
    return _summary(matches, ranks, places, interpolation)


@dataclass(frozen=True)
class _Columns:
    """Distances to some of the columns, numbered anew."""

    distances: Distances
    kept: Tensor

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self.distances(rows, self.kept[columns])


def _check_lengths(
    queries: Tensor, gallery: Tensor, labels: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> None:
    for name, features, side in zip(("query", "gallery"), (queries, gallery), labels, strict=True):
        if any(label.shape != (len(features),) for label in side):
            shapes = " and ".join(str(tuple(label.shape)) for label in side)
            raise ValueError(f"{name}: {len(features)} features, but identities and cameras of shape {shapes}")


def _ranks(
    distances: Distances, matches: Pairs, removed: Pairs, nearest: Shortlist, columns: int, block_size: int
) -> tuple[Pairs, Tensor]:
    """The matches from near to far, and the rank of each among what is left of the gallery, both ``(P,)``.

    A rank is a count of what is at least as near, so that each block is looked at once and then forgotten; and only
    what is not farther than a query's last match has to be counted.
    """
    device = matches.rows.device
    limits = pair_distances(distances, matches.rows, matches.columns, min(block_size, 1024))
    order = limits.argsort(stable=True)
    order = order[matches.rows[order].argsort(stable=True)]
    matches, limits = matches.where(order), limits[order]
    has_match = matches.ends > matches.starts
    last = limits.new_full((len(has_match),), -torch.inf)
    last[has_match] = limits[matches.ends[has_match] - 1]
    counts = torch.zeros(len(limits), dtype=torch.long, device=device)
    for first, some_columns in blocks(torch.arange(columns, device=device), block_size):
        gone = removed.where((removed.columns >= first) & (removed.columns < first + block_size))
        for start, some_rows in blocks(torch.arange(len(last), device=device), block_size):
            block = distances(some_rows, some_columns)
            row, column = gone.between(start, start + len(some_rows))
            block[row - start, column - first] = torch.inf
            listed = nearest.bound(start, block)
            limit = last[some_rows].maximum(listed)
            row, column = (block <= limit[:, None]).nonzero(as_tuple=True)
            entry = block[row, column]
            short = (entry <= listed[row]) & entry.isfinite()
            nearest.add(start, row[short], column[short] + first, entry[short])
            close = entry <= last[row + start]
            place = _places(matches, limits, row[close] + start, column[close] + first, entry[close])
            counts += place.bincount(minlength=len(counts))
    total = counts.cumsum(0)
    before = torch.cat([total.new_zeros(1), total])[matches.starts]
    return matches, total - before[matches.rows]


def _places(matches: Pairs, limits: Tensor, rows: Tensor, columns: Tensor, entries: Tensor) -> Tensor:
    """For every entry ``(E,)`` the first of its row's matches that is not nearer; entries without one are left out.

    A bisection over (distance, column), so that equal distances are ordered by column.
    """
    low, end = matches.starts[rows], matches.ends[rows]
    high = end
    while bool((searching := low < high).any()):
        middle = torch.where(searching, (low + high) // 2, 0)
        limit = limits[middle]
        nearer = (limit < entries) | ((limit == entries) & (matches.columns[middle] < columns))
        low = torch.where(searching & nearer, middle + 1, low)
        high = torch.where(searching & ~nearer, middle, high)
    return low[low < end]


def _summary(matches: Pairs, ranks: Tensor, top: Tensor, interpolation: str) -> Ranking:
    counts = matches.ends - matches.starts
    valid = counts > 0
    rank = ranks.double()
    hits = torch.arange(1, len(ranks) + 1, device=ranks.device) - matches.starts[matches.rows]
    precision = hits / rank
    if interpolation == "trapezoid":
        before = torch.where(ranks > 1, (hits - 1) / (rank - 1).clamp_min(1), 1.0)
        precision = (precision + before) / 2
    sums = torch.zeros(len(counts), dtype=torch.float64, device=ranks.device)
    sums = sums.index_add(0, matches.rows, precision)
    first, penalty = torch.zeros_like(counts), torch.full_like(sums, torch.nan)
    first[valid] = ranks[matches.starts[valid]]
    penalty[valid] = counts[valid] / rank[matches.ends[valid] - 1]
    return Ranking(torch.where(valid, sums / counts, torch.nan), penalty, first, valid, top)
