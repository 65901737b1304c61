"""A backbone by the name that it has in configurations of segmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from blockyard.backbones.base import Backbone


class BackboneFeatures(Backbone):
    """The trunk of any backbone, by the name that it has in configurations and records of segmentation.

    Args:
        num_classes: 0: there is no head.
        in_channels: Channels of the images.
        backbone: Called with ``(num_classes, in_channels)``.

    Raises:
        ValueError: If it is to have a head.
    """

    def __init__(self, num_classes: int, in_channels: int, backbone: Callable[[int, int], Backbone]) -> None:
        super().__init__(num_classes, in_channels)
        if num_classes:
            raise ValueError(f"BackboneFeatures has no head: give {num_classes} classes to its backbone itself")
        self.net = backbone(0, in_channels)
        prefix = ".".join(part for part in ("net", self.net.stock_path) if part)
        self.stages = tuple(replace(stage, path=f"{prefix}.{stage.path}") for stage in self.net.stages)
        self.before_stages = tuple(replace(stage, path=f"{prefix}.{stage.path}") for stage in self.net.before_stages)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages of ``(B, in_channels, H, W)``, ``(B, stage.channels, H', W')`` each."""
        return self.net.features(x)
