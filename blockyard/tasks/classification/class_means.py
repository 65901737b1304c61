"""Means over the classes of a split that occur in it.

torchmetrics' macro averages count a class without a single sample as 0 as soon as one sample is taken for it: the
number of classes that a split lacks would then be part of its score.
"""

from __future__ import annotations

from torch import Tensor
from torchmetrics.classification import MulticlassStatScores


class _ClassMean(MulticlassStatScores):
    """Mean of a score over the classes that occur.

    Args:
        num_classes: Classes K.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, average=None)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count logits ``(B, K)``, or classes ``(B,)``, against classes ``(B,)``; B may be 0."""
        if len(target):
            super().update(preds, target)

    def compute(self) -> Tensor:
        """The mean; not a number where there is no sample."""
        right, wrong, _, missed, samples = super().compute().view(-1, 5).double().T
        return self.score(right, wrong, missed)[samples > 0].mean().float()

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
