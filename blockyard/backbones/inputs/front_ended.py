"""A front end and the backbone that looks at what it makes, as one network."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from blockyard.backbones.base import Backbone
from blockyard.backbones.inputs.front_end import FrontEnd


class FrontEnded(Backbone):
    """Waveforms ``(B, 1, L)``, their spectrograms, and a backbone on them: of one channel, or 1-D on bands as channels.

    Plugs' paths and stage aliases are those of the backbone; a stage's stride counts bands and windows.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: 1.
        front_end: Makes the spectrograms, or the scalograms.
        backbone: Called with ``num_classes`` and the channels of the spectrograms.

    Raises:
        ValueError: If there is more than one channel, or the backbone refuses.
    """

    rank = 1

    def __init__(
        self, num_classes: int, in_channels: int, front_end: FrontEnd, backbone: Callable[[int, int], Backbone]
    ) -> None:
        super().__init__(num_classes, in_channels)
        if in_channels != 1:
            raise ValueError(f"FrontEnded: a front end takes waveforms of 1 channel, got {in_channels}")
        self.front_end = front_end
        self.backbone = backbone(num_classes, front_end.shape[0])
        if self.backbone.rank not in (None, len(front_end.shape)):
            given = (
                "bands as channels, which take 1-D networks" if len(front_end.shape) == 1 else "pictures of one channel"
            )
            name, rank = type(self.backbone).__name__, self.backbone.rank
            raise ValueError(f"the front end gives {given} (option as_channels): {name} is for inputs of rank {rank}")
        self.stages = getattr(self.backbone, "stages", ())
        self.before_stages = self.backbone.before_stages
        self.stock_path = ".".join(filter(None, ("backbone", self.backbone.stock_path)))
        self.closed = getattr(self.backbone, "closed", {})

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """What the backbone gives for the spectrograms of ``(B, 1, L)``: its maps, or logits ``(B, num_classes)``."""
        return self.backbone(self.front_end(x))

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the backbone's stages, ``(B, stage.channels, *S / stage.stride)``, S what the front end gives."""
        return self.backbone.features(self.front_end(x))

    def last_map(self, x: Tensor) -> Tensor:
        """What the backbone's head sees."""
        return self.backbone.last_map(self.front_end(x))

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)``, by the backbone's head."""
        return self.backbone.classify(last)

    def leave_head(self) -> None:
        """Take away the backbone's head."""
        self.backbone.trunk()
