"""What a test keeps of every sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class SampleScores(Metric):
    """Named values ``(n, names)`` of every sample, complete on every rank whatever rank saw which sample.

    Args:
        samples: Size of the split.
        names: What is kept of a sample.
    """

    full_state_update = False
    values: Tensor
    seen: Tensor

    def __init__(self, samples: int, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("values", torch.zeros(samples, len(self.names)), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(samples, dtype=torch.uint8), dist_reduce_fx="sum")

    def update(self, index: Tensor, **values: Tensor) -> None:
        """Store values ``(B,)`` of each name at the positions ``index`` ``(B,)`` of the split."""
        self.values[index] = torch.stack([values[name].to(self.values) for name in self.names], 1)
        self.seen[index] = 1

    def compute(self) -> dict[str, Tensor]:
        """Each name's values ``(n,)`` of the samples seen, and their positions as ``index``, ascending."""
        index = self.seen.nonzero().flatten()
        return {"index": index, **dict(zip(self.names, self.values[index].T, strict=True))}
