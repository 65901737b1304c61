"""How much of a gallery lies before each match, and what lies nearest: blocks are looked at once and forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from blockyard.retrieval.distances import Distances, FeatureDistances, blocks
from blockyard.retrieval.matching import Pairs
from blockyard.retrieval.shortlist import Shortlist

SPARE = 14
"""Entries that are listed beyond the wanted ones where distances are rough: one of them has to be clearly farther."""
ALLOWED, CROWD = 32, 256
"""A query is looked at pair by pair while so many, and one in so many, lie within the margin of a match."""
LIMITS = 512
"""Limits that are looked at together."""


@dataclass(frozen=True)
class Limits:
    """Matches of some queries, from near to far; places without one are minus infinitely far.

    Attributes:
        distances: Exact ones ``(r, m)``.
        columns: ``(r, m)``; -1 without a match.
        is_match: ``(r, m)``.
    """

    distances: Tensor
    columns: Tensor
    is_match: Tensor

    @classmethod
    def of(cls, matches: Pairs, distances: Tensor) -> Limits:
        """Limits from the matches and their distances ``(P,)``."""
        sizes = matches.ends - matches.starts
        is_match = torch.arange(int(sizes.max()), device=sizes.device) < sizes[:, None]
        far, columns = distances.new_full(is_match.shape, torch.inf), matches.columns.new_full(is_match.shape, -1)
        far[is_match], columns[is_match] = distances, matches.columns
        far, order = far.sort(dim=1, stable=True)
        return cls(far.where(is_match, -torch.inf), columns.gather(1, order), is_match)

    def of_rows(self, rows: Tensor) -> Limits:
        """Those of some of the queries ``(r,)``."""
        return Limits(self.distances[rows], self.columns[rows], self.is_match[rows])


def places(
    distances: Distances, rows: Tensor, limits: Limits, same: Pairs, top: int, count: int, block_size: int, rough: bool
) -> tuple[Tensor, Tensor]:
    """Ranks of the matches ``(r, m)`` of some queries from 1, and the nearest columns ``(r, top)``, filled up with -1.

    Rough distances tell most of the order, the exact ones of few pairs the rest; queries of which much more is too
    close to call are counted anew by exact ones alone.

    Args:
        distances: Of queries to columns.
        rows: Queries ``(r,)``.
        limits: Their matches.
        same: Pairs of one identity, by place in ``rows``: what does not match of them is removed.
        top: How many of the nearest are wanted.
        count: How many columns there are.
        block_size: Columns in a block.
        rough: Whether to begin with rough distances.
    """
    seen = _Look(distances, rows, limits, min(top + SPARE * rough, count), rough)
    for first, columns in blocks(torch.arange(count, device=rows.device), block_size):
        gone = (same.columns >= first) & (same.columns < first + len(columns))
        seen.block(first, columns, same.rows[gone], same.columns[gone] - first)
    nearest = seen.nearest(top, count)
    again = seen.unclear.nonzero()[:, 0]
    if len(again):
        chosen = same.where(seen.unclear[same.rows])
        number = seen.unclear.cumsum(0) - 1
        less = Pairs.of(number[chosen.rows], chosen.columns, len(again))
        seen.before[again], nearest[again] = places(
            distances, rows[again], limits.of_rows(again), less, top, count, block_size, False
        )
    return seen.before, nearest


class _Look:
    """What was seen of a gallery: how much lies before each match, matches apart, and the nearest of the others.

    Attributes:
        before: ``(r, m)``.
        unclear: Queries ``(r,)`` of which too much is as far as rough distances can tell.
    """

    def __init__(self, distances: Distances, rows: Tensor, limits: Limits, size: int, rough: bool) -> None:
        self.distances, self.rows, self.limits = distances, rows, limits
        self.rough = distances if rough and isinstance(distances, FeatureDistances) else None
        self.margin, self.directions = (self.rough.margin, self.rough.directions(rows)) if self.rough else (0.0, rows)
        self.before = torch.arange(1, limits.columns.shape[1] + 1, device=rows.device).repeat(len(rows), 1)
        self.unclear, self.compared = torch.zeros_like(rows, dtype=torch.bool), torch.zeros_like(rows)
        self.listed = Shortlist(len(rows), size, rows.device)

    def block(self, first: int, columns: Tensor, gone_rows: Tensor, gone: Tensor) -> None:
        """Look at a block of columns ``(c,)``, the first of them numbered, without some pairs ``(P,)``."""
        block = self.rough.rough(self.directions, columns) if self.rough else self.distances(self.rows, columns)
        # What is infinitely far is neither counted nor listed.
        block[gone_rows, gone] = torch.inf
        ascending = _ascending(block)
        self._count(block, ascending, first)
        self._list(block, ascending, first)

    def _count(self, block: Tensor, ascending: Tensor, first: int) -> None:
        low = (self.limits.distances - self.margin).to(block.dtype)
        high = (self.limits.distances + self.margin).to(block.dtype)
        nearer = torch.searchsorted(ascending, low)
        self.before += nearer
        # Most rows have nothing that close.
        some = (ascending.gather(1, nearer.clamp_max(block.shape[1] - 1)) <= high).any(1).nonzero()[:, 0]
        within = torch.zeros_like(nearer)
        within[some] = torch.searchsorted(ascending[some], high[some], right=True) - nearer[some]
        if self.rough:
            self.compared += within.sum(1)
            self.unclear |= self.compared > ALLOWED + (first + block.shape[1]) / CROWD
            within[self.unclear] = 0
        row, match = within.nonzero(as_tuple=True)
        for some_rows, some in zip(row.split(LIMITS), match.split(LIMITS), strict=True):
            entries = block[some_rows]
            close = (entries >= low[some_rows, some, None]) & (entries <= high[some_rows, some, None])
            if not self.rough:
                # As far as the match is: the gallery's order decides.
                place = self.limits.columns[some_rows, some, None] - first
                close &= torch.arange(block.shape[1], device=block.device) < place
                self.before[some_rows, some] += close.sum(1)
                continue
            number, column = _where(close)
            self._compare(some_rows[number], some[number], column + first)

    def _compare(self, row: Tensor, match: Tensor, column: Tensor) -> None:
        """Count the columns ``(E,)`` that lie before a match of a query by exact distances."""
        assert self.rough is not None
        entry, limit = self.rough.of_pairs(self.rows[row], column), self.limits.distances[row, match]
        is_before = (entry < limit) | ((entry == limit) & (column < self.limits.columns[row, match]))
        self.before.index_put_((row, match), is_before.long(), accumulate=True)

    def _list(self, block: Tensor, ascending: Tensor, first: int) -> None:
        bound = self.listed.distances[:, -1].to(block.dtype).clamp_max(torch.finfo(block.dtype).max)
        if block.shape[1] >= self.listed.size:
            bound = bound.minimum(ascending[:, self.listed.size - 1])
        # Most later blocks have nothing to list.
        some = (ascending[:, 0] <= bound).nonzero()[:, 0]
        chosen = block[some] if len(some) < len(block) else block
        row, column = _where(chosen <= bound[some, None])
        self.listed.add(some[row], column + first, chosen[row, column].double())

    def nearest(self, top: int, count: int) -> Tensor:
        """The nearest columns ``(r, top)``, matches among them; -1 where fewer are left."""
        listed = self.listed.distances
        if self.rough and listed.shape[1] < count:
            self.unclear |= listed[:, -1].isfinite() & (listed[:, top - 1] + 2 * self.margin >= listed[:, -1])
        limits = self.limits.distances.where(self.limits.is_match, torch.inf)
        columns = torch.cat([self.limits.columns, self.listed.columns], 1)
        order = columns.argsort(dim=1)
        columns, found = columns.gather(1, order), torch.cat([limits, listed], 1).gather(1, order)
        if self.rough:
            near, rank = found.sort(dim=1)
            close = torch.zeros_like(near, dtype=torch.bool)
            # Infinity less infinity is no number, and not close.
            close[:, 1:] = near.diff(dim=1) <= 2 * self.margin
            close[:, :-1] |= close[:, 1:].clone()
            close &= near <= near[:, top - 1, None] + 2 * self.margin
            # Those of matches are exact already.
            close &= (order >= limits.shape[1]).gather(1, rank)
            row, place = (close & ~self.unclear[:, None]).nonzero(as_tuple=True)
            place = rank[row, place]
            found[row, place] = self.rough.of_pairs(self.rows[row], columns[row, place])
        return columns.gather(1, found.argsort(dim=1, stable=True))[:, :top]


def _ascending(block: Tensor) -> Tensor:
    """A block ``(r, c)``, each row sorted; NumPy's sort is many times faster than torch's on a processor."""
    if block.device.type != "cpu":
        return block.sort(dim=1).values
    ascending = block.detach().clone()
    ascending.numpy().sort(axis=1)
    return ascending


def _where(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns ``(E,)`` where a mask ``(r, c)`` is set; NumPy passes over what is empty at memory's speed."""
    flat = mask.flatten()
    flat = torch.from_numpy(np.flatnonzero(flat.numpy())) if mask.device.type == "cpu" else flat.nonzero()[:, 0]
    return flat // mask.shape[1], flat % mask.shape[1]
