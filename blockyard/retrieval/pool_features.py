"""The vectors of a pool of samples, from whatever clips and ranks they come."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PoolFeatures(Metric):
    """Mean vector of each sample over its clips, complete on every rank and the same in whatever order they come.

    Args:
        owner: Position in the pool of the sample that each item belongs to, ascending, ``(items,)``.
        features: Length D of a vector.
    """

    full_state_update = False
    index: list[Tensor]
    vectors: list[Tensor]

    def __init__(self, owner: Tensor, features: int) -> None:
        super().__init__()
        self.owner = owner
        self.features = features
        self.add_state("index", [], dist_reduce_fx="cat")
        self.add_state("vectors", [], dist_reduce_fx="cat")

    def update(self, index: Tensor, vectors: Tensor) -> None:
        """Add vectors ``(B, D)`` of the items at positions ``(B,)``; B = 0 for a rank that has none left."""
        self.index.append(index)
        self.vectors.append(vectors.float())

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean vectors ``(n, D)``, and how many items of each sample there were, ``(n,)``.

        Raises:
            FloatingPointError: If a vector is not finite.
        """
        index, vectors = dim_zero_cat(self.index), dim_zero_cat(self.vectors)
        if not vectors.isfinite().all():
            raise FloatingPointError("the network's output is not a number: its weights have diverged")
        order = index.argsort()
        counts = torch.bincount(self.owner.to(index.device)[index], minlength=int(self.owner[-1]) + 1)
        # In the order of the items, the mean is the same to the last bit however they were dealt out.
        sums = torch.segment_reduce(vectors[order].double(), "sum", lengths=counts)
        return (sums / counts.clamp(min=1)[:, None]).float(), counts
