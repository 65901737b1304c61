"""Classes by the vote of the nearest training samples."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from blockyard.retrieval import nearest

TEMPERATURE = 0.07


def vote(
    queries: Tensor, gallery: Tensor, targets: Tensor, num_classes: int, k: int = 20, temperature: float = TEMPERATURE
) -> Tensor:
    """Shares of the classes in the votes of each query's k nearest, a neighbour's vote weighing exp(cosine / τ).

    Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018. Features are
    compared by direction, which is to say after L2 normalisation; neighbours equally near rank by position in the
    gallery.

    Args:
        queries: Features ``(Q, D)``; their device computes.
        gallery: Features ``(G, D)``.
        targets: Classes of the gallery ``(G,)``, or ``(G, K)`` of zeros and ones.
        num_classes: Classes K.
        k: Neighbours that vote.
        temperature: τ.

    Returns:
        Shares float64 ``(Q, K)``; of one class each they add up to one.

    Raises:
        ValueError: If the gallery has fewer than k items, or k or τ is not positive.
    """
    if not 1 <= k <= len(gallery) or temperature <= 0:
        raise ValueError(f"k={k} must be 1 to {len(gallery)}, the samples that vote; τ={temperature} positive")
    positions, distances = nearest(queries, gallery, k)
    # The nearest one's weight is 1: a small τ overflows nothing, and shares stay the same.
    weights = ((distances[:, :1] - distances) / temperature).exp()
    targets = targets.to(positions.device)
    votes = torch.zeros(len(queries), num_classes, dtype=torch.float64, device=positions.device)
    for column, weight in zip(positions.T, weights.T, strict=True):  # in one order on every device
        wanted = targets[column] if targets.ndim == 2 else F.one_hot(targets[column], num_classes)
        votes += weight[:, None] * wanted
    return votes / weights.sum(1, keepdim=True)
