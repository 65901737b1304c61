"""Which pixels count how much in the losses of mmsegmentation's heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
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


FROM_DATA = ("balanced", "median")
"""Names of factors that are counted when a training starts."""


def weigh_classes(network: Segmentor, weights: list[float] | str | None) -> list[Callable[[list[float]], None]]:
    """Give each class a factor in the losses of all heads.

    Args:
        network: The network.
        weights: A factor for each class, or a name of :data:`FROM_DATA`, for which they are 1 until they are counted.

    Returns:
        What gives each head others.

    Raises:
        ValueError: If these are no factors of the classes, or a head has another loss than the cross entropy.
    """
    if weights is None:
        return []
    factors = [1.0] * network.num_classes if weights in FROM_DATA else [*checked(weights, network.num_classes)]  # type: ignore[arg-type]
    heads: list[Any] = [network.decode_head, *network.auxiliary_heads]
    setters: list[Callable[[list[float]], None]] = []
    for head in heads:
        if hasattr(head, "weigh_classes"):  # OneFormerHead, which classifies queries
            head.weigh_classes(factors)
            setters.append(head.weigh_classes)
            continue
        losses = head.loss_decode if isinstance(head.loss_decode, nn.ModuleList) else [head.loss_decode]
        for name in (type(loss).__name__ for loss in losses):
            if name != "CrossEntropyLoss":
                raise ValueError(
                    f"class_weights: {type(head).__name__} has a {name}; only a CrossEntropyLoss takes them"
                )
        head.sampler = ClassWeights(factors, head.sampler)
        setters.append(partial(setattr, head.sampler, "weights"))
    return setters


def mine_hard_pixels(network: Segmentor, hard: HardPixels | None) -> None:
    """Let the decode head learn from hard pixels alone.

    Raises:
        ValueError: If a number is out of range, or the head classifies no pixels.
    """
    if hard is None:
        return
    if not hasattr(network.decode_head, "loss_decode"):
        raise ValueError(f"ohem: {type(network.decode_head).__name__} classifies no pixels; leave it out")
    if hard.min_kept < 2 or not (hard.threshold is None or 0 < hard.threshold <= 1):
        raise ValueError(f"ohem: threshold must be in (0, 1] and min_kept at least 2, got {hard}")
    from mmseg.structures.sampler import OHEMPixelSampler

    head: Any = network.decode_head
    head.sampler = OHEMPixelSampler(head, hard.threshold, hard.min_kept)


def counted(kind: str, data: Any, total: Callable[[Tensor], Tensor]) -> list[float]:
    """Factors of K classes by the pixels n_k of each in all training masks, N in sum; every process reads a part.

    ``balanced`` is N / (K n_k), as scikit-learn has it: every class has the same part in the loss, whose factors have
    the mean 1 over pixels. ``median`` is the median of the frequencies f over f_k, where f_k is n_k over the labelled
    pixels of those masks alone that show class k: a class that few pictures show is not rarer for that.

    Args:
        kind: Which of the two.
        data: The data module.
        total: Adds up the tensors of all processes.

    Raises:
        ValueError: If the data can't say, or a class has no pixel.
    """
    if not hasattr(data, "pixel_counts"):
        name = "no data module" if data is None else f"a {type(data).__name__}"
        raise ValueError(f"class_weights: {kind} counts pixels of the training masks, which {name} can't say")
    of_class, around = total(torch.from_numpy(data.pixel_counts())).tolist()
    if absent := [name for name, count in zip(data.classes, of_class, strict=True) if not count]:
        raise ValueError(f"class_weights: {kind} divides by the pixels of {absent[0]}, and no training mask shows it")
    if kind == "balanced":
        return [sum(of_class) / (len(of_class) * count) for count in of_class]
    frequencies = [count / pixels for count, pixels in zip(of_class, around, strict=True)]
    return [median(frequencies) / frequency for frequency in frequencies]


def rarity(shares: Sequence[float]) -> list[float]:
    """Factors of K classes by the shares that they have of all pixels: 1 / √share, with a mean over pixels of 1.

    A class that covers less than :data:`RAREST` counts as if it covered that.
    """
    factors = [max(share, RAREST) ** -0.5 for share in shares]
    mean = sum(share * factor for share, factor in zip(shares, factors, strict=True)) or 1.0
    return [round(factor / mean, 3) for factor in factors]
