"""Boxes in float32 at least, in whatever precision a detector's layers compute.

torchvision rounds anchors to the precision of the maps, and boxes to that of what the heads give. bfloat16 holds
multiples of 4 alone beyond 512 pixels: a thin box has no width there, and a logarithm of none is no loss. The layers
keep their precision here; what boxes are made of does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign


def exact_boxes(detector: Any) -> None:
    """Have one of torchvision's detectors compute boxes in float32 at least; its modules keep their names."""
    owners: tuple[Any, ...] = (detector, getattr(detector, "rpn", None))
    for owner in owners:
        if hasattr(owner, "anchor_generator"):
            owner.anchor_generator.register_forward_pre_hook(_for_anchors)
            owner.head.register_forward_hook(_given)
    if hasattr(detector, "roi_heads"):
        detector.roi_heads.box_predictor.register_forward_hook(_given)


def wide(given: Any) -> Any:
    """Tensors of any shape in float32 at least, also those of a dictionary, list or tuple."""
    if isinstance(given, Tensor):
        return given.to(torch.promote_types(given.dtype, torch.float32))
    if isinstance(given, dict):
        return {name: wide(value) for name, value in given.items()}
    return type(given)(map(wide, given))


class Regions(MultiScaleRoIAlign):
    """Pools of regions of maps, in the maps' precision, whatever the regions' is."""

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Of maps ``(B, C, H, W)`` and each picture's regions ``(n, 4)``: ``(n of all, C, size, size)``."""
        pooled: Tensor = super().forward(wide(x), boxes, image_shapes)
        return pooled.to(next(iter(x.values())).dtype)


def _for_anchors(_: nn.Module, given: tuple[ImageList, list[Tensor]]) -> tuple[ImageList, list[Tensor]]:
    """Maps without a value in place of maps ``(B, C, H, W)``, of which anchors take the sizes and the precision."""
    pictures, maps = given
    return pictures, [wide(seen.new_empty(())).expand(seen.shape) for seen in maps]


def _given(_: nn.Module, taken: Any, outputs: Any) -> Any:
    return wide(outputs)
