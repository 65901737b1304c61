"""Segments from queries: which of them are objects or regions, and where."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor

from blockyard.heads.oneformer.transformer_decoder import Prediction


class Segments(NamedTuple):
    """Of one picture, n of them.

    Attributes:
        masks: Where they are, bool ``(n, H, W)``; in panoptic segmentation no pixel is in two.
        labels: Their classes ``(n,)``.
        scores: How sure the network is of them, 0 to 1, ``(n,)``.
    """

    masks: Tensor
    labels: Tensor
    scores: Tensor


def panoptic_segments(
    prediction: Prediction, things: Collection[int], threshold: float = 0.8, overlap: float = 0.8
) -> Segments:
    """Each pixel to the query that is surest of it and of its class, if that keeps most of its mask.

    Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation, NeurIPS 2021.

    Args:
        prediction: Of one picture: classes ``(Q, K + 1)``, masks ``(Q, H, W)``.
        things: Classes whose objects stay apart; of any other class there is one segment at most.
        threshold: Queries less sure of their class are left out.
        overlap: So much of its mask, the pixels more likely in it than not, must be left to a query.
    """
    scores, labels = prediction.classes.float().softmax(-1).max(-1)
    kept = (labels < prediction.classes.shape[-1] - 1) & (scores > threshold)
    scores, labels, likely = scores[kept], labels[kept], prediction.masks[kept].float().sigmoid()
    if not len(labels):
        return Segments(likely > 0.5, labels, scores)
    mine = (scores[:, None, None] * likely).argmax(0) == torch.arange(len(labels), device=labels.device)[:, None, None]
    whole = likely >= 0.5
    left = mine & whole
    share = mine.flatten(1).sum(1) / whole.flatten(1).sum(1).clamp(min=1)
    valid = left.flatten(1).any(1) & (share >= overlap)
    merged: dict[int, int] = {}
    found: list[tuple[Tensor, int, float]] = []
    for mask, label, score in zip(left[valid], labels[valid].tolist(), scores[valid].tolist(), strict=True):
        if label in merged:
            before, _, best = found[merged[label]]
            found[merged[label]] = (before | mask, label, max(best, score))
            continue
        if label not in things:
            merged[label] = len(found)
        found.append((mask, label, score))
    masks = torch.stack([mask for mask, _, _ in found]) if found else left[:0]
    of_each = [labels.new_tensor([label for _, label, _ in found]), scores.new_tensor([score for *_, score in found])]
    return Segments(masks, *of_each)


def instance_segments(prediction: Prediction, things: Collection[int], most: int = 100) -> Segments:
    """The surest pairs of query and class; a query's mask is where it is more likely than not, and may cover another's.

    Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022: the score is the
    class's probability times the mean of the mask's over the mask.

    Args:
        prediction: As of :func:`panoptic_segments`.
        things: Classes that there are objects of.
        most: So many pairs at most.
    """
    likely = prediction.classes.float().softmax(-1)[:, :-1]
    asked = likely.new_zeros(likely.shape[1], dtype=torch.bool)
    asked[list(things)] = True
    scores, places = likely.masked_fill(~asked, -1).flatten().topk(min(most, likely.numel()))
    places, scores = places[scores >= 0], scores[scores >= 0]
    logits = prediction.masks[places // likely.shape[1]].float()
    masks = logits > 0
    quality = (logits.sigmoid() * masks).flatten(1).sum(1) / masks.flatten(1).sum(1).clamp(min=1)
    return Segments(masks, places % likely.shape[1], scores * quality)
