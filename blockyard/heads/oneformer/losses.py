"""What the predicted set of masks is told about the true one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.heads.oneformer.matching import CLASS, DICE, MASK, match, sample, sample_known
from blockyard.heads.oneformer.transformer_decoder import Prediction

NOTHING = 0.1
"""Weight of a query that finds nothing, in the cross entropy of the classes."""
OVERSAMPLED, UNSURE = 3, 0.75
"""So many times as many points are drawn as are kept, and this share of those kept are the least sure of them."""


class Target(NamedTuple):
    """The true masks of a picture.

    Attributes:
        labels: Their classes ``(n,)``.
        masks: 0 or 1, ``(n, H, W)``.
        known: 1 where the picture is labelled, 0 elsewhere, ``(H, W)``.
    """

    labels: Tensor
    masks: Tensor
    known: Tensor


class SetLoss(nn.Module):
    """Matches queries and true masks ``(n, H, W)``, and compares classes and masks of those matched.

    Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022: cross entropy of the
    classes, binary cross entropy and Dice of the masks at points, three quarters of which are those that the
    prediction is least sure of. Points on ignored pixels don't count, where the paper's code has them outside of every
    mask. The mean is over the masks of the batch of one process.

    Args:
        num_classes: Classes K.
        points: Points P that a mask is compared at.
    """

    factors: Tensor

    def __init__(self, num_classes: int, points: int = 12544) -> None:
        super().__init__()
        self.points = points
        factors = torch.ones(num_classes + 1)
        factors[-1] = NOTHING
        self.register_buffer("factors", factors, persistent=False)

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Give the K classes factors in the cross entropy of the classes."""
        self.factors[:-1] = self.factors.new_tensor(weights)

    def forward(self, prediction: Prediction, targets: Sequence[Target]) -> dict[str, Tensor]:
        """``loss_class``, ``loss_mask`` and ``loss_dice``, weighted, of predictions and the B pictures' targets."""
        like = prediction.masks
        targets = [Target(labels, masks.to(like), known.to(like)) for labels, masks, known in targets]
        pictures = zip(prediction.classes, prediction.masks, targets, strict=True)
        pairs = [match(Prediction(classes, masks), *target, self.points) for classes, masks, target in pictures]
        classes = self._classes(prediction.classes, targets, pairs)
        mask, dice = self._masks(prediction.masks, targets, pairs)
        return {"loss_class": CLASS * classes, "loss_mask": MASK * mask, "loss_dice": DICE * dice}

    def _classes(self, logits: Tensor, targets: Sequence[Target], pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The cross entropy of logits ``(B, Q, K + 1)``; what is not matched is to be nothing."""
        labels = logits.new_full(logits.shape[:2], logits.shape[2] - 1, dtype=torch.long)
        for row, target, (query, mask) in zip(labels, targets, pairs, strict=True):
            row[query] = target.labels[mask]
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), self.factors)

    def _masks(
        self, logits: Tensor, targets: Sequence[Target], pairs: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Binary cross entropy and Dice of the matched ones of logits ``(B, Q, h, w)``."""
        found = torch.cat([each[query] for each, (query, _) in zip(logits, pairs, strict=True)])[:, None]
        sought = torch.cat([target.masks[mask] for target, (_, mask) in zip(targets, pairs, strict=True)])[:, None]
        known = torch.cat(
            [target.known.expand(len(mask), -1, -1) for target, (_, mask) in zip(targets, pairs, strict=True)]
        )
        places = unsure_places(found, self.points)
        at, true = sample(found, places)[:, 0], sample(sought, places)[:, 0]
        counted = sample_known(known[:, None], places)[:, 0]
        masks = max(1, sum(len(target.labels) for target in targets))
        entropy = F.binary_cross_entropy_with_logits(at, true, reduction="none") * counted
        likely, true = at.sigmoid() * counted, true * counted
        dice = 1 - (2 * (likely * true).sum(1) + 1) / (likely.sum(1) + true.sum(1) + 1)
        return (entropy.sum(1) / counted.sum(1).clamp(min=1)).sum() / masks, dice.sum() / masks


@torch.no_grad()
def unsure_places(logits: Tensor, points: int) -> Tensor:
    """Points ``(n, P, 2)``, x and y from 0 to 1: most where logits ``(n, 1, h, w)`` are near zero, the rest anywhere.

    Kirillov et al., PointRend: Image Segmentation as Rendering, CVPR 2020.
    """
    count, unsure = len(logits), int(UNSURE * points)
    drawn = torch.rand(count, OVERSAMPLED * points, 2, device=logits.device)
    order = sample(logits, drawn)[:, 0].abs().topk(unsure, dim=1, largest=False).indices
    anywhere = torch.rand(count, points - unsure, 2, device=logits.device)
    return torch.cat([drawn.gather(1, order[..., None].expand(-1, -1, 2)), anywhere], 1)
