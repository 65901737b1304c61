"""Pairs of a query and a gallery item, kept as lists: there are few of one identity, and they stand for no matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Pairs sorted by row.

    Attributes:
        rows: ``(P,)`` ascending.
        columns: ``(P,)``.
        starts: First pair of each row, ``(R,)``.
        ends: One after the last pair of each row, ``(R,)``.
    """

    rows: Tensor
    columns: Tensor
    starts: Tensor
    ends: Tensor

    @classmethod
    def of(cls, rows: Tensor, columns: Tensor, count: int) -> Pairs:
        """Pairs of ``count`` rows, from ascending rows ``(P,)`` and their columns ``(P,)``."""
        sizes = rows.bincount(minlength=count)
        ends = sizes.cumsum(0)
        return cls(rows, columns, ends - sizes, ends)

    def where(self, chosen: Tensor) -> Pairs:
        """Some of the pairs, by a mask ``(P,)``."""
        return Pairs.of(self.rows[chosen], self.columns[chosen], len(self.starts))

    def of_rows(self, rows: Tensor) -> Pairs:
        """The pairs of some consecutive rows ``(r,)``, which are numbered anew."""
        inside = self.inside(rows)
        return Pairs.of(self.rows[inside] - int(rows[0]), self.columns[inside], len(rows))

    def inside(self, rows: Tensor) -> slice:
        """Where the pairs of some consecutive rows ``(r,)`` stand."""
        return slice(int(self.starts[rows[0]]), int(self.ends[rows[-1]]))


def same_identity(query_ids: Tensor, gallery_ids: Tensor) -> Pairs:
    """All pairs of one identity, by query and then by position in the gallery.

    Args:
        query_ids: ``(Q,)``.
        gallery_ids: ``(G,)``.
    """
    ids, order = gallery_ids.sort(stable=True)
    first = torch.searchsorted(ids, query_ids)
    sizes = torch.searchsorted(ids, query_ids, right=True) - first
    rows, column = expand(first, sizes)
    return Pairs.of(rows, order[column], len(query_ids))


def expand(starts: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Each i, ``(Σ sizes,)``, and the numbers starts[i] … starts[i] + sizes[i] - 1, for all i one after the other."""
    owner = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    within = torch.arange(len(owner), device=sizes.device) - (sizes.cumsum(0) - sizes)[owner]
    return owner, starts[owner] + within
