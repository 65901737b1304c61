"""Scores of several labels a sample."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision


def scores_of(probabilities: Tensor, target: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Metrics of a split, and those of its classes ``(K,)``; a class that no sample has does not count in any mean.

    Args:
        probabilities: ``(n, K)``.
        target: Zeros and ones ``(n, K)``.

    Raises:
        ValueError: If no sample has a label.
    """
    samples = target.sum(0)
    if not samples.any():
        raise ValueError("none of the files has a label: there is no average precision of nothing")
    heard = (probabilities >= 0.5).long()
    absent = probabilities.new_full((), torch.nan)
    columns = zip(probabilities.T, target.T, samples.tolist(), strict=True)
    precision = [binary_average_precision(p, labels) if count else absent for p, labels, count in columns]
    f1 = torch.where(samples > 0, 2 * (heard * target).sum(0) / (heard.sum(0) + samples).clamp(min=1), absent)
    found = {"samples": samples, "AP": torch.stack(precision), "F1": f1}
    return {"mAP": found["AP"].nanmean(), "macro_f1": f1.nanmean()}, found


def ranking_precision(probabilities: Tensor, target: Tensor) -> Tensor:
    """For each sample the average precision of its classes, ranked by probability ``(n,)``; 1 for one without labels.

    For each label, which share of the classes at least as probable are labels too; the mean over the labels.

    Args:
        probabilities: ``(n, K)``.
        target: Zeros and ones ``(n, K)``.
    """
    scores = []
    for p, labels in zip(probabilities, target.bool(), strict=True):
        above = p[None] >= p[labels][:, None]
        precision = (above & labels).sum(1) / above.sum(1)
        scores.append(precision.mean() if len(precision) else precision.new_ones(()))
    return torch.stack(scores) if scores else probabilities.new_zeros(0)
