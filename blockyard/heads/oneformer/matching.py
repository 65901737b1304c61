"""Which query is to find which mask."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from blockyard.heads.oneformer.transformer_decoder import Prediction

CLASS, MASK, DICE = 2.0, 5.0, 5.0
"""Weights of the three losses, and of the costs that queries and masks are matched by."""


@torch.no_grad()
def match(prediction: Prediction, labels: Tensor, masks: Tensor, known: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """The queries and the masks that together cost least, no query twice: two tensors ``(min(Q, n),)``.

    Args:
        prediction: Of one picture: classes ``(Q, K + 1)``, masks ``(Q, h, w)``.
        labels: Classes ``(n,)`` of the masks.
        masks: 0 or 1, ``(n, H, W)``.
        known: 1 where the picture is labelled, 0 elsewhere, ``(H, W)``.
        points: Random points at which masks are compared, the same for all.
    """
    places = torch.rand(1, points, 2, device=masks.device)
    found, sought = (sample(each[None], places)[0] for each in (prediction.masks, masks))
    counted = sample_known(known[None, None], places)[0]
    likely = prediction.classes.softmax(-1)
    cost = CLASS * -likely[:, labels] + MASK * cross_entropies(found, sought, counted)
    cost = cost + DICE * dice_costs(found, sought, counted)
    # what has diverged is matched last, and is seen by its loss
    cost = cost.nan_to_num(*[torch.finfo(torch.float32).max] * 3)
    rows, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(rows).to(masks.device), torch.from_numpy(columns).to(masks.device)


def cross_entropies(found: Tensor, sought: Tensor, counted: Tensor) -> Tensor:
    """The mean binary cross entropy, ``(Q, n)``, of logits ``(Q, P)`` and labels ``(n, P)`` at points ``(1, P)``."""
    yes, no = F.softplus(-found) * counted, F.softplus(found) * counted
    return (yes @ sought.T + no @ (1 - sought).T) / counted.sum().clamp(min=1)


def dice_costs(found: Tensor, sought: Tensor, counted: Tensor) -> Tensor:
    """1 - Dice, smoothed by one point, ``(Q, n)``, of logits ``(Q, P)`` and labels ``(n, P)`` at points ``(1, P)``."""
    likely, sought = found.sigmoid() * counted, sought * counted
    both = 2 * likely @ sought.T
    return 1 - (both + 1) / (likely.sum(1, keepdim=True) + sought.sum(1) + 1)


def sample(maps: Tensor, places: Tensor) -> Tensor:
    """Maps ``(n, c, H, W)``, zero outside, at points ``(n, P, 2)``, x and y from 0 to 1, bilinearly: ``(n, c, P)``."""
    grid = (2 * places[:, :, None] - 1).to(maps.dtype)
    return F.grid_sample(maps, grid, align_corners=False)[..., 0]


def sample_known(known: Tensor, places: Tensor) -> Tensor:
    """As :func:`sample`, of the nearest pixel, 0 or 1: ``(n, c, P)``."""
    grid = (2 * places[:, :, None] - 1).to(known.dtype)
    return F.grid_sample(known, grid, mode="nearest", padding_mode="border", align_corners=False)[..., 0]
