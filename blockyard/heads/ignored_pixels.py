"""Losses of mmsegmentation that let ignored pixels count, or fail where there are any, mended."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  before mmseg

# isort: split
from mmseg.models import losses as stock
from mmseg.models.losses.dice_loss import _expand_onehot_labels_dice, dice_loss

IGNORED = 255


class DiceLoss(stock.DiceLoss):
    """mmsegmentation's, of logits ``(B, K, H, W)``, over the labelled pixels alone.

    There the probabilities of ignored pixels count as false: the more of a picture is ignored, the more the network
    learns to name no class at all. Its option ``ignore_index`` leaves a *class* out.
    """

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None, **options: Any) -> Tensor:
        """The loss of logits ``(B, K, H, W)`` and labels ``(B, H, W)``; of soft labels ``(B, K, H, W)`` as there."""
        if pred.shape == target.shape:
            loss: Tensor = super().forward(pred, target, weight, **options)
            return loss
        probabilities = pred
        if self.activate:
            probabilities = pred.sigmoid() if self.use_sigmoid else pred.softmax(1)
        labelled = (target != options.get("ignore_index", IGNORED))[:, None]
        loss = dice_loss(
            probabilities * labelled,
            _expand_onehot_labels_dice(pred, target) * labelled,
            weight,
            eps=self.eps,
            reduction=options.get("reduction_override") or self.reduction,
            naive_dice=self.naive_dice,
            avg_factor=options.get("avg_factor"),
            ignore_index=self.ignore_index,
        )
        return self.loss_weight * loss


class LovaszLoss(stock.LovaszLoss):
    """mmsegmentation's, which gives NaN for a picture without a labelled pixel and fails for one with a single one.

    Such pictures ``(K, H, W)`` are left out here; where all are such, the loss is zero.
    """

    def forward(self, cls_score: Tensor, label: Tensor, *args: Any, **options: Any) -> Tensor:
        """The loss of logits ``(B, K, H, W)`` and labels ``(B, H, W)``."""
        labelled = (label != options.get("ignore_index", IGNORED)).flatten(1).sum(1) > 1
        if not labelled.any():
            return cls_score.sum() * 0
        loss: Tensor = super().forward(cls_score[labelled], label[labelled], *args, **options)
        return loss


class CrossEntropyLoss(stock.CrossEntropyLoss):
    """mmsegmentation's, which fails with ``class_weight`` where a pixel is ignored: it looks class 255's weight up.

    The mean over ``(B, H, W)`` is over the labelled pixels then, each with its weight, as PyTorch's.
    """

    def forward(self, cls_score: Tensor, label: Tensor, *args: Any, **options: Any) -> Tensor:
        """The loss of logits ``(B, K, H, W)`` and labels ``(B, H, W)``."""
        if self.class_weight is not None and not (self.use_sigmoid or self.use_mask) and self.reduction == "mean":
            labelled = label[label != options.get("ignore_index", IGNORED)]
            weights = cls_score.new_tensor(self.class_weight)[labelled].sum()
            options.setdefault("avg_factor", weights.item())
        loss: Tensor = super().forward(cls_score, label, *args, **options)
        return loss


_MENDED: dict[type[nn.Module], type[nn.Module]] = {
    stock.CrossEntropyLoss: CrossEntropyLoss,
    stock.DiceLoss: DiceLoss,
    stock.LovaszLoss: LovaszLoss,
}


def mend_losses(head: nn.Module) -> nn.Module:
    """Let the losses of a head and of all that is in it learn from labelled pixels alone; the same head."""
    for module in head.modules():
        # They differ in their forward alone, and options given to the stock class stay as they are.
        module.__class__ = _MENDED.get(type(module), type(module))
    return head
