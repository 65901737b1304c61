"""CMC, mean average precision and mINP of a ranked gallery, without sorting it and without all distances at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blockyard.retrieval.distances import Distances, FeatureDistances, Metric, blocks, pair_distances
from blockyard.retrieval.matching import Pairs, same_identity
from blockyard.retrieval.reranking import KReciprocal
from blockyard.retrieval.shortlist import Shortlist, packed

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
    block_size: int = 2048,
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
    labels = (query_ids, query_cameras), (gallery_ids, gallery_cameras)
    _check(queries, gallery, labels, interpolation)
    matches, removed, kept = _matches(queries.device, *labels)
    distances = _distances(queries, gallery, kept, metric, rerank, block_size)
    parts = [
        _rank_rows(distances, rows, matches.of_rows(rows), removed.of_rows(rows), min(top, len(kept)), kept, block_size)
        for _, rows in blocks(torch.arange(len(queries), device=queries.device), block_size)
    ]
    ranks, nearest = (torch.cat(part) for part in zip(*parts, strict=True))
    return _summary(matches, ranks, nearest, interpolation)


def _matches(
    device: torch.device, queries: tuple[Tensor, Tensor], gallery: tuple[Tensor, Tensor]
) -> tuple[Pairs, Pairs, Tensor]:
    """Pairs that match, pairs that the query's gallery loses, and the positions ``(g,)`` of what is not junk.

    The columns of both count these positions.

    Raises:
        ValueError: If nothing matches.
    """
    (query_ids, query_cameras), (gallery_ids, gallery_cameras) = (
        tuple(label.to(device) for label in side) for side in (queries, gallery)
    )
    kept = (gallery_ids != JUNK).nonzero()[:, 0]
    pairs = same_identity(query_ids, gallery_ids[kept])
    seen_by_other = query_cameras[pairs.rows] != gallery_cameras[kept][pairs.columns]
    matches, removed = pairs.where(seen_by_other), pairs.where(~seen_by_other)
    if not len(matches.rows):
        raise ValueError("no query has a match in the gallery: nothing of its identity was seen by another camera")
    return matches, removed, kept


@dataclass(frozen=True)
class _Columns:
    """Distances to some of the columns, numbered anew."""

    distances: Distances
    kept: Tensor

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self.distances(rows, self.kept[columns])


def _distances(
    queries: Tensor, gallery: Tensor, kept: Tensor, metric: Metric, rerank: KReciprocal | None, block_size: int
) -> Distances:
    """Distances of features ``(Q, D)`` to those of a gallery ``(G, D)`` at positions ``(g,)``."""
    all_distances = FeatureDistances(queries, gallery, metric)  # refuses what is no feature, also before re-ranking
    if rerank is not None:
        return rerank.distances(queries, gallery[kept.to(gallery.device)], metric, block_size)
    return all_distances if len(kept) == len(gallery) else _Columns(all_distances, kept)


def _check(
    queries: Tensor, gallery: Tensor, labels: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], interpolation: str
) -> None:
    if interpolation not in ("none", "trapezoid"):
        raise ValueError(f"unknown interpolation {interpolation!r}: allowed: none, trapezoid")
    for name, features, side in zip(("query", "gallery"), (queries, gallery), labels, strict=True):
        if any(label.shape != (len(features),) for label in side):
            shapes = " and ".join(str(tuple(label.shape)) for label in side)
            raise ValueError(f"{name}: {len(features)} features, but identities and cameras of shape {shapes}")


def _rank_rows(
    distances: Distances, rows: Tensor, matches: Pairs, removed: Pairs, top: int, kept: Tensor, block_size: int
) -> tuple[Tensor, Tensor]:
    """Ranks ``(P,)`` of the matches of some queries, each query's ascending, and the nearest ``(r, top)``.

    A rank is a count of what is at least as near, so that each block is looked at once and then forgotten; and only
    what is not farther than a query's last match has to be counted.
    """
    limits = _Limits(matches, pair_distances(distances, rows[matches.rows], matches.columns, min(block_size, 1024)))
    nearest = Shortlist(len(rows), top, rows.device)
    for first, columns in blocks(torch.arange(len(kept), device=rows.device), block_size):
        block = distances(rows, columns)
        # What is infinitely far is neither counted nor listed.
        gone = (removed.columns >= first) & (removed.columns < first + len(columns))
        block[removed.rows[gone], removed.columns[gone] - first] = torch.inf
        listed = nearest.bound(block)
        row, column = (block <= limits.last.maximum(listed)[:, None]).nonzero(as_tuple=True)
        entry = block[row, column]
        column += first
        short = (entry <= listed[row]) & entry.isfinite()
        nearest.add(row[short], column[short], entry[short])
        close = entry <= limits.last[row]
        limits.count(row[close], column[close], entry[close])
    return limits.ranks(), torch.where(nearest.columns < 0, -1, kept[nearest.columns])


class _Limits:
    """Distances of the matches, from near to far, and how much of the gallery lies up to each.

    Attributes:
        last: Distance ``(r,)`` of each query's last match; minus infinity without one.
    """

    def __init__(self, matches: Pairs, distances: Tensor) -> None:
        rows, sizes = len(matches.starts), matches.ends - matches.starts
        # One more than the longest, for what lies behind the last match.
        self.width = int(sizes.max()) + 1
        self.is_match = torch.arange(self.width, device=sizes.device) < sizes[:, None]
        self.distances = distances.new_full((rows, self.width), torch.inf)
        self.columns = matches.columns.new_full((rows, self.width), -1)
        self.distances[self.is_match], self.columns[self.is_match] = distances, matches.columns
        self.distances, order = self.distances.sort(dim=1, stable=True)
        self.columns = self.columns.gather(1, order)
        self.last = self.distances.where(self.is_match, -torch.inf).amax(1)
        self.counts = torch.zeros_like(self.columns)

    def count(self, rows: Tensor, columns: Tensor, entries: Tensor) -> None:
        """Count entries ``(E,)``, sorted by row, each at the first match that is as far."""
        touched, near, near_columns = packed(rows, columns, entries)
        limits, limit_columns = self.distances[touched], self.columns[touched]
        place = torch.searchsorted(limits, near)
        row, number = ((limits.gather(1, place) == near) & near.isfinite()).nonzero(as_tuple=True)
        # Of what is equally far the gallery's order decides: an entry goes behind the matches that stand before it.
        while len(row):
            at, column = place[row, number], near_columns[row, number]
            later = (limits[row, at] == near[row, number]) & (limit_columns[row, at] < column)
            row, number = row[later], number[later]
            place[row, number] += 1
        place += torch.arange(len(touched), device=rows.device)[:, None] * self.width
        self.counts[touched] += place.flatten().bincount(minlength=limits.numel()).view_as(limits)

    def ranks(self) -> Tensor:
        """Rank of every match from 1, ``(P,)``."""
        return self.counts.cumsum(1)[self.is_match]


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
