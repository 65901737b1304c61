"""Image classification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from blockyard.backbones import Backbone
from blockyard.tasks.classification.base import Classification


class ImageClassification(Classification):
    """Names the class of each image ``(B, C, H, W)``.

    An evaluation batch may also hold several crops of each image, ``(B, V, C, H, W)``. The class probabilities of all
    that is seen of an image are averaged, and the logarithm of the mean is taken for its logits: with five crops,
    mirrored, this is the ten-crop test of Krizhevsky et al., 2012.

    Args:
        backbone: Called with ``(num_classes, in_channels)``.
        num_classes: Classes K; the command line takes it from the data.
        input_shape: Shape ``(C, H, W)`` of one image; the command line takes it from the data.
        flip_test: Whether evaluation also sees each image mirrored; None means no.
        options: Those of :class:`Classification`.

    Raises:
        ValueError: As :class:`Classification`.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("pictures with a class",)
    ranks: ClassVar[tuple[int, ...]] = (2,)
    evaluation_options: ClassVar[tuple[str, ...]] = (*Classification.evaluation_options, "flip_test")

    pipeline: ClassVar[str] = "image-classification"

    def __init__(
        self,
        backbone: Callable[[int, int], Backbone],
        num_classes: int,
        input_shape: tuple[int, ...],
        flip_test: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(backbone=backbone, num_classes=num_classes, input_shape=input_shape, **options)
        self.flip_test = flip_test

    def evaluate(self, x: Tensor) -> Tensor:
        """Logits ``(B, K)`` of images ``(B, C, H, W)``, or of their crops ``(B, V, C, H, W)``."""
        if x.ndim == 4 and not self.flip_test:
            return super().evaluate(x)
        crops = x.flatten(0, -4)
        views = [crops, crops.flip(-1)] if self.flip_test else [crops]
        shape = (*x.shape[:-3], 1)[:2]
        seen = torch.stack([self.probabilities(self(view)).unflatten(0, shape).mean(1) for view in views])
        # A probability of zero has no logarithm; the smallest normal number keeps losses finite.
        return seen.mean(0).clamp(min=torch.finfo(seen.dtype).tiny).log()
