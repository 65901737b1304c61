"""Shares of samples, and means over the classes of a split that occur in it, in time and memory of B + K.

torchmetrics' macro averages count a class without a single sample as 0 as soon as one sample is taken for it: the
number of classes that a split lacks would then be part of its score. Its counts of each class go by a table of K²
pairs for every batch, and its top k by B × K of the best, which takes longer than the network where K is 10,000.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class TopAccuracy(Metric):
    """Share of samples whose class is among the k with the highest logits.

    Args:
        k: How many may be named.
    """

    right: Tensor
    samples: Tensor

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.k = k
        for name in ("right", "samples"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Count logits ``(B, K)`` against classes ``(B,)``; B may be 0."""
        best = logits.argmax(1, keepdim=True) if self.k == 1 else logits.topk(self.k, 1).indices
        self.right += (best == target[:, None]).sum()
        self.samples += len(target)

    def compute(self) -> Tensor:
        """The share; 0 where there is no sample."""
        return self.right / self.samples.clamp(min=1)


class _ClassMean(Metric):
    """Mean of a score over the classes that occur.

    Args:
        num_classes: Classes K.
    """

    right: Tensor
    taken: Tensor
    samples: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        for name in ("right", "taken", "samples"):
            self.add_state(name, torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count logits ``(B, K)``, or classes ``(B,)``, against classes ``(B,)``; B may be 0."""
        classes, one = preds.argmax(1) if preds.dim() == 2 else preds, torch.ones_like(target)
        self.samples.index_add_(0, target, one)
        self.taken.index_add_(0, classes, one)
        self.right.index_add_(0, target, (classes == target).to(one.dtype))

    def compute(self) -> Tensor:
        """The mean; not a number where there is no sample."""
        right, taken, samples = (count.double() for count in (self.right, self.taken, self.samples))
        return self.score(right, taken - right, samples - right)[samples > 0].mean().float()

    def score(self, right: Tensor, wrong: Tensor, missed: Tensor) -> Tensor:
        """The score of each class ``(K,)``, by its true positives, false positives and false negatives ``(K,)``."""
        raise NotImplementedError


class MacroAccuracy(_ClassMean):
    """Mean share of a class's samples that get its name, over the classes that occur."""

    def score(self, right: Tensor, wrong: Tensor, missed: Tensor) -> Tensor:
        """Recall ``(K,)``."""
        return right / (right + missed)


class MacroF1(_ClassMean):
    """Mean of the harmonic mean of precision and recall, over the classes that occur."""

    def score(self, right: Tensor, wrong: Tensor, missed: Tensor) -> Tensor:
        """F1 ``(K,)``."""
        return 2 * right / (2 * right + wrong + missed)
