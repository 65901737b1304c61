"""What a segmentation is scored by: one confusion matrix of pixels, and what follows from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

IGNORED = 255
"""Mask value of pixels that nobody is asked about."""


class PixelConfusion(Metric):
    """Pixels by true class (rows) and predicted class, ``(K, K)``, added up in integers: exact on any number of ranks.

    Args:
        num_classes: Classes K.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, confusion: Tensor) -> None:
        """Add the counts ``(K, K)`` of a picture."""
        self.counts = self.counts + confusion  # in place would fail on a state made in inference mode

    def compute(self) -> Tensor:
        """The counts ``(K, K)`` of all pictures of all ranks."""
        return self.counts


def confusion_of(predicted: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Counts ``(K, K)`` of one picture, rows the true class.

    Args:
        predicted: Predicted labels ``(H, W)``.
        target: True labels ``(H, W)``; pixels of value 255 are left out.
        num_classes: Classes K.

    Raises:
        ValueError: If the mask holds a value that is no class.
    """
    asked = target != IGNORED
    true, taken = target[asked].long(), predicted[asked].long()
    wrong = true[(true < 0) | (true >= num_classes)]
    if len(wrong):
        raise ValueError(
            f"a mask holds the value {int(wrong[0])}, which is no class: the values are 0 to {num_classes - 1}, "
            f"and {IGNORED} for pixels to ignore"
        )
    return torch.bincount(true * num_classes + taken, minlength=num_classes**2).view(num_classes, num_classes)


def class_scores(confusion: Tensor) -> dict[str, Tensor]:
    """``IoU``, ``accuracy`` and ``Dice`` of each class ``(K,)``, in double precision.

    A score is NaN where its class does not occur: for the accuracy in the truth, for the others neither in the truth
    nor in the prediction.

    Args:
        confusion: Counts ``(K, K)``, rows the true class.
    """
    right = confusion.diagonal().double()
    true, taken = confusion.sum(1), confusion.sum(0)
    return {"IoU": right / (true + taken - right), "accuracy": right / true, "Dice": 2 * right / (true + taken)}


def mean_scores(confusion: Tensor) -> dict[str, Tensor]:
    """``mIoU``, ``aAcc`` (of all pixels), ``mAcc`` and ``mDice``: means over the classes that occur.

    Args:
        confusion: Counts ``(K, K)``, rows the true class; of one picture or of a whole split.
    """
    by_class = class_scores(confusion)
    return {
        "mIoU": by_class["IoU"].nanmean(),
        "aAcc": confusion.diagonal().sum().double() / confusion.sum(),
        "mAcc": by_class["accuracy"].nanmean(),
        "mDice": by_class["Dice"].nanmean(),
    }
