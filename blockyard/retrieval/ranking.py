"""CMC, mean average precision and mINP of a ranked gallery, without sorting it and without all distances at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blockyard.retrieval.counting import Limits, places
from blockyard.retrieval.distances import Distances, FeatureDistances, Metric, blocks, pair_distances
from blockyard.retrieval.matching import Pairs, same_identity
from blockyard.retrieval.reranking import KReciprocal

JUNK = -1
"""Identity of gallery items that are removed before ranking; identity 0, a distractor, is nobody's match and stays."""
MANY = 200
"""Where one pair in fewer is a match, as among the classes of a probe, all distances are exact from the start."""


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
    matches, same, kept = _matches(queries.device, *labels)
    distances = _distances(queries, gallery, kept, metric, rerank, block_size)
    exact = _match_distances(distances, matches, query_ids.to(queries.device), min(block_size, 256))
    ranks, nearest = _places(distances, matches, same, exact, min(top, len(kept)), len(kept), block_size)
    return _summary(matches, ranks, torch.where(nearest < 0, -1, kept[nearest]), interpolation)


def _matches(
    device: torch.device, queries: tuple[Tensor, Tensor], gallery: tuple[Tensor, Tensor]
) -> tuple[Pairs, Pairs, Tensor]:
    """Pairs that match, all pairs of one identity, and the positions ``(g,)`` of what is not junk.

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
    matches = pairs.where(seen_by_other)
    if not len(matches.rows):
        raise ValueError("no query has a match in the gallery: nothing of its identity was seen by another camera")
    return matches, pairs, kept


def _match_distances(distances: Distances, matches: Pairs, query_ids: Tensor, block_size: int) -> Tensor:
    """Distances ``(P,)`` of the matches; queries of one identity share what they are compared with."""
    order = query_ids[matches.rows].argsort(stable=True)
    found = pair_distances(distances, matches.rows[order], matches.columns[order], block_size)
    return torch.empty_like(found).index_copy_(0, order, found)


def _places(
    distances: Distances, matches: Pairs, same: Pairs, exact: Tensor, top: int, count: int, block_size: int
) -> tuple[Tensor, Tensor]:
    """Ranks ``(P,)`` of the matches, each query's ascending, and the nearest columns ``(Q, top)`` of ``count``."""
    queries = torch.arange(len(matches.starts), device=exact.device)
    rough = _is_worth_a_rough_look(distances, len(exact), len(queries) * count)
    parts = []
    for _, rows in blocks(queries, block_size):
        limits = Limits.of(matches.of_rows(rows), exact[matches.inside(rows)])
        ranks, nearest = places(distances, rows, limits, same.of_rows(rows), top, count, block_size, rough)
        parts.append((ranks[limits.is_match], nearest))
    ranks, nearest = (torch.cat(part) for part in zip(*parts, strict=True))
    return ranks, nearest


def _is_worth_a_rough_look(distances: Distances, matches: int, pairs: int) -> bool:
    """Whether rough distances can be had, and tell the most: not among many matches, as far as each other."""
    return isinstance(distances, FeatureDistances) and MANY * matches <= pairs and distances.can_be_rough()


def _distances(
    queries: Tensor, gallery: Tensor, kept: Tensor, metric: Metric, rerank: KReciprocal | None, block_size: int
) -> Distances:
    """Distances of features ``(Q, D)`` to those of a gallery ``(G, D)`` at positions ``(g,)``."""
    distances = FeatureDistances(queries, gallery, metric, kept)  # refuses what is no feature, also before re-ranking
    if rerank is None:
        return distances
    return rerank.distances(queries, gallery[kept.to(gallery.device)], metric, block_size)


def _check(
    queries: Tensor, gallery: Tensor, labels: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], interpolation: str
) -> None:
    if interpolation not in ("none", "trapezoid"):
        raise ValueError(f"unknown interpolation {interpolation!r}: allowed: none, trapezoid")
    for name, features, side in zip(("query", "gallery"), (queries, gallery), labels, strict=True):
        if any(label.shape != (len(features),) for label in side):
            shapes = " and ".join(str(tuple(label.shape)) for label in side)
            raise ValueError(f"{name}: {len(features)} features, but identities and cameras of shape {shapes}")


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
