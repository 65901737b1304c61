"""Which pixels count how much in the losses of mmsegmentation's heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from blockyard.heads import Segmentor
from blockyard.tasks.segmentation.metrics import IGNORED
from blockyard.training.class_weights import checked

RAREST = 0.005
"""Share of all pixels below which a class gets no larger a factor: a few pixels would decide."""


@dataclass
class HardPixels:
    """Online hard example mining: the decode head learns from the pixels that it finds hard.

    Args:
        threshold: Hard is a pixel whose own class has a lower probability than this; None takes the largest losses.
        min_kept: At least so many pixels a picture are learnt from.
    """

    threshold: float | None = 0.7
    min_kept: int = 100_000


class ClassWeights:
    """A factor for each pixel by its class, zero where it is ignored; stands where heads expect a pixel sampler.

    mmsegmentation's own ``class_weight`` fails as soon as a pixel is ignored: it looks up the weight of class 255.

    Args:
        weights: A factor for each class.
        sampler: What else says which pixels count.
    """

    def __init__(self, weights: list[float], sampler: Any = None) -> None:
        self.weights = weights
        self.sampler = sampler

    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """Factors ``(B, H, W)`` by logits ``(B, K, H, W)`` and labels ``(B, 1, H, W)``."""
        table = seg_logit.new_zeros(IGNORED + 1)
        table[: len(self.weights)] = seg_logit.new_tensor(self.weights)
        factors = table[seg_label.squeeze(1)]
        return factors if self.sampler is None else factors * self.sampler.sample(seg_logit, seg_label)


def weigh_classes(network: Segmentor, weights: list[float] | None) -> None:
    """Give each class a factor in the losses of all heads.

    Raises:
        ValueError: If these are no factors of the classes, or a head has another loss than the cross entropy.
    """
    if weights is None:
        return
    checked(weights, network.num_classes)
    heads: list[Any] = [network.decode_head, *network.auxiliary_heads]
    for head in heads:
        losses = head.loss_decode if isinstance(head.loss_decode, nn.ModuleList) else [head.loss_decode]
        for name in (type(loss).__name__ for loss in losses):
            if name != "CrossEntropyLoss":
                raise ValueError(
                    f"class_weights: {type(head).__name__} has a {name}; only a CrossEntropyLoss takes them"
                )
        head.sampler = ClassWeights(weights, head.sampler)


def mine_hard_pixels(network: Segmentor, hard: HardPixels | None) -> None:
    """Let the decode head learn from hard pixels alone.

    Raises:
        ValueError: If a number is out of range.
    """
    if hard is None:
        return
    if hard.min_kept < 2 or not (hard.threshold is None or 0 < hard.threshold <= 1):
        raise ValueError(f"ohem: threshold must be in (0, 1] and min_kept at least 2, got {hard}")
    from mmseg.structures.sampler import OHEMPixelSampler

    head: Any = network.decode_head
    head.sampler = OHEMPixelSampler(head, hard.threshold, hard.min_kept)


def rarity(shares: Sequence[float]) -> list[float]:
    """Factors of K classes by the shares that they have of all pixels: 1 / √share, with a mean over pixels of 1.

    A class that covers less than :data:`RAREST` counts as if it covered that.
    """
    factors = [max(share, RAREST) ** -0.5 for share in shares]
    mean = sum(share * factor for share, factor in zip(shares, factors, strict=True)) or 1.0
    return [round(factor / mean, 3) for factor in factors]
